package provider

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
	deployed "github.com/autopkgtest-cloud/autopkgtest-cloud/provider/openstack"
)

type instanceModel struct {
	baseModel
	Cloud          types.Object `tfsdk:"cloud"`
	Region         types.String `tfsdk:"region"`
	ID             types.String `tfsdk:"id"`
	Name           types.String `tfsdk:"name"`
	ImagePattern   types.String `tfsdk:"image_pattern"`
	ImageID        types.String `tfsdk:"image_id"`
	ImageName      types.String `tfsdk:"image_name"`
	Flavor         types.String `tfsdk:"flavor"`
	Network        types.String `tfsdk:"network"`
	Groups         types.Set    `tfsdk:"groups"`
	Key            types.String `tfsdk:"key"`
	UserData       types.String `tfsdk:"user_data"`
	Mirror         types.String `tfsdk:"mirror"`
	SecurityMirror types.String `tfsdk:"security_mirror"`
	Proxy          types.String `tfsdk:"proxy"`
	WaitFor        types.String `tfsdk:"wait_for"`
	SSH            types.Object `tfsdk:"ssh"`
	Address        types.String `tfsdk:"address"`
	PortID         types.String `tfsdk:"port_id"`
	HostKey        types.String `tfsdk:"host_key"`
}

type instanceKind struct{}

func newInstance() resource.Resource {
	return &managed[instanceModel]{kind: instanceKind{}, mutableIdentity: true} // one that is gone is made anew, with another id
}

func (instanceKind) typeName() string                 { return "instance" }
func (instanceKind) base(m *instanceModel) *baseModel { return &m.baseModel }
func (instanceKind) well() string                     { return running }
func (instanceKind) patience(m *instanceModel) time.Duration {
	if m.WaitFor.ValueString() == deployed.WaitActive {
		return 10 * time.Minute
	}
	return 20 * time.Minute // emulated machines need some for their boot
}

func (instanceKind) identity(m *instanceModel) []identityValue {
	return []identityValue{
		{name: "region", description: cloudRegionText, value: m.Region},
		{name: "id", description: "Id of the server.", value: m.ID},
	}
}

// instanceGone is the status of an instance that somebody has deleted.
const instanceGone = "it is gone: somebody has deleted the server"

// wantedInstance is what a model asks for.
func (s *settings) wantedInstance(m *instanceModel) (deployed.Instance, error) {
	data, err := deployed.UserData{
		Mirror: m.Mirror.ValueString(), SecurityMirror: m.SecurityMirror.ValueString(), Proxy: m.Proxy.ValueString(),
		Extra: m.UserData.ValueString(),
	}.Render()
	if err != nil {
		return deployed.Instance{}, at(path.Root("user_data"), err)
	}
	groups, _ := stringsOf(m.Groups)
	return deployed.Instance{
		Name: m.Name.ValueString(), Stack: s.stack, ImagePattern: m.ImagePattern.ValueString(), Flavor: m.Flavor.ValueString(),
		Network: m.Network.ValueString(), Key: m.Key.ValueString(), Groups: groups, Data: data,
	}, nil
}

func (instanceKind) ensure(ctx context.Context, c *call[instanceModel]) error {
	region, err := c.project(ctx, c.model.Cloud, c.model.Region.ValueString())
	if err != nil {
		return err
	}
	want, err := c.wantedInstance(c.model)
	if err != nil {
		return err
	}
	made, err := region.EnsureInstance(ctx, want, c.model.ID.ValueString())
	c.model.learn(made)
	if c.model.Region.IsUnknown() {
		c.model.Region = types.StringValue(region.Name())
	}
	if err != nil {
		return atField(err)
	}
	key, err := region.AwaitInstance(ctx, made, c.wait(c.model))
	if c.model.HostKey.IsUnknown() {
		c.model.HostKey = textOrNull(key)
	}
	if err != nil {
		return at(path.Root("wait_for"), err)
	}
	return region.FinishInstance(ctx, &made)
}

// learn fills in what a plan has left open.
func (m *instanceModel) learn(made deployed.Made) {
	for attribute, value := range map[*types.String]string{
		&m.ID: made.ID, &m.ImageID: made.Image, &m.ImageName: made.ImageName, &m.Address: made.Address, &m.PortID: made.Port,
		&m.Network: made.Network,
	} {
		if attribute.IsUnknown() {
			*attribute = textOrNull(value)
		}
	}
}

func (s *settings) wait(m *instanceModel) deployed.Wait {
	text := func(name string) string {
		value, _ := m.SSH.Attributes()[name].(types.String)
		return value.ValueString()
	}
	port, _ := m.SSH.Attributes()["port"].(types.Int64)
	return deployed.Wait{
		For: m.WaitFor.ValueString(),
		Target: machine.Target{
			Address: text("address"), Port: int(port.ValueInt64()), User: text("user"),
			IdentityFile: text("identity_file"), HostKey: text("host_key"),
		},
		Dial: func(ctx context.Context, t machine.Target, patience time.Duration) (*machine.Machine, error) {
			here, ok := s.files.(terraformsFiles)
			if !ok {
				return nil, errors.New("only the provider that Terraform runs reaches instances")
			}
			return here.pool.Machine(ctx, t, patience)
		},
	}
}

func (instanceKind) inspect(ctx context.Context, c *call[instanceModel]) (finding, error) {
	m := c.model
	region, err := c.project(ctx, m.Cloud, m.Region.ValueString())
	if err != nil {
		return unseenCloud(err)
	}
	seen, err := region.Instance(ctx, m.ID.ValueString(), c.stack, m.Name.ValueString())
	switch {
	case err != nil:
		return unseenCloud(err)
	case seen == nil && m.ID.IsNull():
		return finding{Problem: "its creation was interrupted before the cloud had answered", Absent: true}, nil
	case seen == nil:
		return finding{Problem: instanceGone, Absent: true}, nil
	}
	imported := m.Name.IsNull()
	if imported {
		m.Network, m.WaitFor = textOrNull(seen.Network), types.StringValue(deployed.WaitActive)
	}
	if imported || m.Address.ValueString() != seen.Address {
		if err := region.Complete(ctx, seen); err != nil {
			return unseenCloud(err)
		}
		m.Address, m.PortID = textOrNull(seen.Address), textOrNull(seen.Port)
		m.ImageID, m.ImageName = textOrNull(seen.Image), textOrNull(seen.ImageName)
	}
	return finding{Problem: m.compare(seen, imported)}, nil
}

// compare takes over what was changed, so that a plan shows it, and says it in a sentence, together with why the machine does not run.
func (m *instanceModel) compare(seen *deployed.Seen, imported bool) string {
	var problems []string
	if seen.Trouble != "" {
		problems = append(problems, seen.Trouble)
	}
	note := func(what, is string) {
		if !imported {
			problems = append(problems, what+" was changed to "+is)
		}
	}
	if m.Name.ValueString() != seen.Name {
		note("its name", seen.Name)
	}
	if groups := stringSet(seen.Groups); !m.Groups.Equal(groups) {
		note("its list of groups", strings.Join(seen.Groups, ", "))
		m.Groups = groups
	}
	if m.Flavor.ValueString() != seen.Flavor && seen.Flavor != "" {
		note("its flavor", seen.Flavor)
		m.Flavor = types.StringValue(seen.Flavor)
	}
	m.ID, m.Name, m.Key = types.StringValue(seen.ID), types.StringValue(seen.Name), textOrNull(seen.Key)
	return strings.Join(problems, "; ")
}

func (instanceKind) imported(_ context.Context, c *call[instanceModel]) error { //nolint:unparam // an interface's
	c.model.Groups = types.SetNull(types.StringType)
	c.model.SSH = types.ObjectNull(hostTypes)
	return nil
}

func (instanceKind) remove(ctx context.Context, c *call[instanceModel]) error {
	region, err := c.project(ctx, c.model.Cloud, c.model.Region.ValueString())
	if err != nil {
		return err
	}
	if c.model.ID.IsNull() {
		return region.RemoveUnfinished(ctx, c.stack, c.model.Name.ValueString())
	}
	return region.RemoveInstance(ctx, c.model.ID.ValueString())
}
