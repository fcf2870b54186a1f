package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	deployed "github.com/autopkgtest-cloud/autopkgtest-cloud/provider/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/cloudrc"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// cloudAccessModel is what a resource in a cloud says of how to reach it: paths, never what is in the files. They are read whenever the
// cloud is needed, also for a removal, so a password that was changed in the file needs no change here.
type cloudAccessModel struct {
	RCFile       types.String `tfsdk:"rc_file"`
	Entry        types.String `tfsdk:"entry"`
	CloudsFile   types.String `tfsdk:"clouds_file"`
	Region       types.String `tfsdk:"region"`
	PasswordFile types.String `tfsdk:"password_file"`
}

func cloudAccessAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "How to reach the cloud. Default: the `OS_*` variables of the provider's environment. What the files " +
			"hold is read when it is needed and is never in the state. A plan that makes something tries the login, so a wrong password " +
			"is known before anything is made.",
		Attributes: map[string]schema.Attribute{
			"rc_file": schema.StringAttribute{
				Optional: true, Validators: []validator.String{fileName()},
				MarkdownDescription: "RC file of one region: an absolute path, or `ssh://USER@HOST:PORT/PATH`. It is read and never run. " +
					"One that holds its password may be readable by its owner alone.",
			},
			"entry": schema.StringAttribute{Optional: true, MarkdownDescription: cloudEntryText},
			"clouds_file": schema.StringAttribute{
				Optional: true, MarkdownDescription: cloudsFileText, Validators: []validator.String{absolutePath()},
			},
			"region": schema.StringAttribute{
				Optional: true, MarkdownDescription: "Region, where the source has several. Default: the only one.",
			},
			"password_file": schema.StringAttribute{
				Optional: true, Validators: []validator.String{fileName()},
				MarkdownDescription: "Path of a 0600 file with nothing but the password, for sources that ask for it at a terminal or " +
					"leave it out.",
			},
		},
	}
}

const cloudRegionText = "Region that it is in."

// cloudAccess reads the model's object. known is false while a part of it is not known.
func cloudAccess(ctx context.Context, object types.Object) (m cloudAccessModel, known bool) {
	if object.IsUnknown() {
		return m, false
	}
	if !object.IsNull() {
		_ = object.As(ctx, &m, basetypes.ObjectAsOptions{}) // the schema has the same attributes
	}
	for _, text := range []types.String{m.RCFile, m.Entry, m.CloudsFile, m.Region, m.PasswordFile} {
		if text.IsUnknown() {
			return m, false
		}
	}
	return m, true
}

// cloudRegion is the region that a resource is in. in names it, where the state knows it; empty while it is only planned. Warnings go
// to diags. Nothing is asked of the cloud.
func (s *settings) cloudRegion(ctx context.Context, object types.Object, in string, diags *diag.Diagnostics) (*openstack.Region, error) {
	access, _ := cloudAccess(ctx, object)
	c, err := s.cloudOf(ctx, access, in, diags)
	if err != nil {
		return nil, at(path.Root("cloud"), err)
	}
	secure, err := c.TLS(func(file string) ([]byte, error) { return s.readFile(ctx, beside(c.Source, file)) })
	if err != nil {
		return nil, at(path.Root("cloud"), err)
	}
	region, err := s.clouds.Region(c, secure)
	return region, at(path.Root("cloud"), err)
}

// plannedRegion is that of a plan, known if the sources are. Another than the state's makes another thing. Where the state has none,
// something is to be made with the services: that the cloud does not let the account in, or has no such region or service, is said now,
// before an apply has made a part of the whole.
func (p *planning[M]) plannedRegion(ctx context.Context, object types.Object, stands types.String,
	services ...openstack.Service) types.String {
	access, known := cloudAccess(ctx, object)
	if !known {
		return types.StringUnknown()
	}
	c, err := p.cloudOf(ctx, access, "", p.diags)
	if err != nil {
		explain(p.diags, "Could not read what the cloud is reached with", at(path.Root("cloud"), err))
		return types.StringUnknown()
	}
	if stands.ValueString() != "" && c.Region != "" && stands.ValueString() != c.Region {
		p.replace(path.Root("region"))
	}
	if c.Region == "" && !stands.IsNull() {
		return stands
	}
	if stands.IsNull() {
		if err := p.checkAccess(ctx, object, services); err != nil {
			explain(p.diags, "Could not get into the cloud", at(path.Root("cloud"), err))
		}
	}
	return types.StringValue(c.Region)
}

// cloudAccessKey is what is asked for once: there is one of each region.
type cloudAccessKey struct {
	region   *openstack.Region
	services string
}

// lookAheadLimit bounds a look that a plan can do without.
const lookAheadLimit = 10 * time.Second

// checkAccess asks once for all that is planned. A cloud that does not answer now is left to the apply.
func (s *settings) checkAccess(ctx context.Context, object types.Object, services []openstack.Service) error {
	region, err := s.cloudRegion(ctx, object, "", new(diag.Diagnostics)) // warnings are there already
	if err != nil {
		return err
	}
	key := cloudAccessKey{region, fmt.Sprint(services)}
	s.mu.Lock()
	check := s.access[key]
	if check == nil {
		check = sync.OnceValue(func() error {
			ctx, cancel := context.WithTimeout(ctx, lookAheadLimit)
			defer cancel()
			_, err := unseenCloud(region.CheckAccess(ctx, services...))
			return err
		})
		s.access[key] = check
	}
	s.mu.Unlock()
	return check()
}

func (s *settings) cloudOf(ctx context.Context, m cloudAccessModel, in string, diags *diag.Diagnostics) (cloudrc.Cloud, error) {
	sources := cloudSources{files: stringList(nil), cloud: m.Entry, cloudsFile: m.CloudsFile}
	if file := m.RCFile.ValueString(); file != "" {
		sources.files = stringList([]string{file})
	}
	regions, err := sources.read(ctx, s, diags)
	var elsewhere *pathError // in the attributes that the data source has
	if errors.As(err, &elsewhere) {
		err = elsewhere.err
	}
	if err != nil {
		return cloudrc.Cloud{}, err
	}
	c, err := oneOf(regions, m.Region.ValueString(), in)
	file := m.PasswordFile.ValueString()
	if err != nil || file == "" || c.Complete() == nil {
		return c, err
	}
	read, err := s.readAnywhere(ctx, file)
	if err == nil {
		err = config.CheckMode(file, read.Mode)
	}
	if err != nil {
		return c, err
	}
	return c.WithPassword(cloudrc.Secret(strings.TrimSpace(string(read.Content)))), nil
}

// oneOf chooses the region that is asked for, or the one that the thing is in, which an account of the same cloud can reach even
// if its source now names another.
func oneOf(regions cloudrc.Regions, asked, in string) (cloudrc.Cloud, error) {
	names := regions.Names()
	switch {
	case in != "":
		if c, there := regions[in]; there {
			return c, nil
		}
		if len(names) == 1 {
			c := regions[names[0]]
			c.Region = in
			return c, nil
		}
		return regions.Cloud(in)
	case asked != "" || len(names) == 0:
		return regions.Cloud(asked)
	case len(names) > 1:
		return cloudrc.Cloud{}, &problem{
			title:  "The source has several regions",
			detail: "They are " + strings.Join(names, ", ") + ": name one as region.",
		}
	}
	return regions[names[0]], nil
}

// unseenCloud is what unseenBroker is for a broker: a plan goes on without a cloud that does not answer.
func unseenCloud(err error) (finding, error) {
	if errors.Is(err, openstack.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || machineAway(err) {
		return finding{Unseen: err.Error()}, nil
	}
	return finding{}, err
}

// logRequest has the provider's log show what is asked of clouds.
func logRequest(ctx context.Context, r openstack.Request) {
	fields := map[string]any{"method": r.Method, "url": r.URL, "status": r.Status, "request": r.ID, "took": r.Took.String()}
	if r.Err != nil {
		fields["error"] = r.Err.Error()
	}
	tflog.Debug(ctx, "cloud", fields)
}

// project is what is in the region that a resource is in; see cloudRegion.
func (c *call[M]) project(ctx context.Context, object types.Object, in string) (*deployed.Inventory, error) {
	return c.projectIn(ctx, object, in, c.diags)
}

func (s *settings) projectIn(ctx context.Context, object types.Object, in string, diags *diag.Diagnostics) (*deployed.Inventory, error) {
	region, err := s.cloudRegion(ctx, object, in, diags)
	if err != nil {
		return nil, err
	}
	return s.inventories.Of(region), nil
}

// atField says which attribute an error of package openstack concerns.
func atField(err error) error {
	var field *deployed.FieldError
	if errors.As(err, &field) {
		return at(path.Root(field.Field), err)
	}
	return err
}
