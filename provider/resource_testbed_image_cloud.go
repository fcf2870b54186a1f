package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/objectvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/cloudimage"
)

// imageCloudModel is the attribute cloud of an image. The job reads its files for as long as it runs, so they are paths on its machine.
type imageCloudModel struct {
	RCFiles  types.List   `tfsdk:"rc_files"`
	Name     types.String `tfsdk:"name"`
	Source   types.String `tfsdk:"source"`
	Checksum types.String `tfsdk:"checksum"`
	Canary   types.String `tfsdk:"canary"`
	Flavor   types.String `tfsdk:"flavor"`
	KeyFile  types.String `tfsdk:"key_file"`
	NovaOpts types.String `tfsdk:"novaopts"`
}

var imageCloudTypes = map[string]attr.Type{
	"rc_files": types.ListType{ElemType: types.StringType}, "name": types.StringType, "source": types.StringType,
	"checksum": types.StringType, "canary": types.StringType, "flavor": types.StringType, "key_file": types.StringType,
	"novaopts": types.StringType,
}

func imageCloudAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "The image is for servers of OpenStack clouds, and is kept in their image services: a disk as distributions " +
			"publish it, or one that is built, is uploaded hidden, proven on a server of its own in each region, and " +
			"only then shown, under its `name` and the time. An hour later the image before it is removed. One that " +
			"fails stays hidden from workers and is removed; the one before stays. Images that are not this resource's " +
			"are never touched. A region that is taken out of `rc_files` keeps its images.",
		Validators: []validator.Object{objectvalidator.ConflictsWith(path.MatchRoot("cache"))},
		Attributes: map[string]schema.Attribute{
			"rc_files": schema.ListAttribute{
				Required: true, ElementType: types.StringType,
				MarkdownDescription: "RC files, one for each region: absolute paths on the job's machine, readable by the stack's " +
					"account alone. They are read whenever they are needed and are never in the state.",
				Validators: []validator.List{
					listvalidator.SizeAtLeast(1), listvalidator.UniqueValues(), listvalidator.ValueStringsAre(absolutePath(), oneWord()),
				},
			},
			"name": schema.StringAttribute{
				Optional: true, Validators: []validator.String{check{"a name for images", config.CheckImageName}},
				MarkdownDescription: "What the names of the images begin with, for the `image_pattern` of workers. A project has one " +
					"such resource of a name. Another name makes another image. Default: `autopkgtest/RELEASE-ARCHITECTURE`.",
			},
			"source": schema.StringAttribute{
				Optional: true,
				Validators: []validator.String{
					stringvalidator.LengthAtLeast(1), check{"where a disk is", config.CheckImageSource},
					stringvalidator.ConflictsWith(path.MatchRoot("mirror"), path.MatchRoot("include")),
				},
				MarkdownDescription: "A distribution's disk for clouds, qcow2 or raw: URL, or absolute path on the job's machine. It " +
					"boots by itself and has cloud-init. Default: the disk is built by mmdebstrap from `mirror`, with `include`, and " +
					"anew when it is older than `refresh_every`; for `amd64` alone, and the job's machine needs `qemu-utils` " +
					"and `fdisk`.",
			},
			"checksum": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "SHA-256 of the disk in hexadecimal digits; or URL or absolute path of a list as `sha256sum` writes " +
					"it, such as the `SHA256SUMS` beside the disk. With a list, or with a path as `source` and nothing here, another " +
					"disk makes a new image within `refresh_every`.",
			},
			"canary": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(string(config.CanaryTests)),
				Validators: []validator.String{stringvalidator.OneOf(string(config.CanaryTests), string(config.CanaryBoot))},
				MarkdownDescription: "What proves an image: `tests`, that the tests of a small package pass on a server of it, just as a " +
					"worker runs them; or `boot`, that a server of it becomes ACTIVE, where this machine cannot reach servers. " +
					"Default: `tests`.",
			},
			"flavor": schema.StringAttribute{
				Required: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1), oneWord()},
				MarkdownDescription: "Flavor of the server that proves an image.",
			},
			"key_file": schema.StringAttribute{
				Optional: true, Validators: []validator.String{absolutePath()},
				MarkdownDescription: "Private key for that server, as `[nova] key_file` of workers: absolute path on the job's machine.",
			},
			"novaopts": schema.StringAttribute{
				Optional: true, Validators: []validator.String{check{"options for servers", checkNovaOptions}},
				MarkdownDescription: "What else that server is made of, in the words of `novaopts` of workers: network, security groups, " +
					"key.",
			},
		},
	}
}

// oneWord is for texts that stand in a list of words.
func oneWord() validator.String {
	return check{"one word", func(s string) error {
		if strings.ContainsAny(s, " \t\r\n") {
			return fmt.Errorf("%q has blanks in it, at which the job's configuration is split", s)
		}
		return nil
	}}
}

func checkNovaOptions(text string) error {
	words, err := config.SplitQuoted(text)
	if err == nil {
		_, err = config.ParseNovaOptions(words)
	}
	return err
}

// cloud reads the attribute; nil where the image is for testbeds of this machine.
func (m *testbedImageModel) cloud(ctx context.Context) *imageCloudModel {
	if m.Cloud.IsNull() || m.Cloud.IsUnknown() {
		return nil
	}
	var cloud imageCloudModel
	_ = m.Cloud.As(ctx, &cloud, basetypes.ObjectAsOptions{}) // the schema has the same attributes
	return &cloud
}

// builds says whether the image is built from an archive, so far as it is known.
func (m *testbedImageModel) builds(ctx context.Context) bool {
	if m.Cloud.IsUnknown() {
		return false
	}
	cloud := m.cloud(ctx)
	return cloud == nil || cloud.Source.IsNull()
}

// planImageCloud looks at what validators cannot: what belongs together, and what makes another image.
func planImageCloud(ctx context.Context, p *planning[testbedImageModel]) {
	cloud := p.model.cloud(ctx)
	if cloud != nil && !cloud.Source.IsUnknown() && !cloud.Checksum.IsUnknown() {
		if err := config.CheckImageChecksum(cloud.Source.ValueString(), cloud.Checksum.ValueString()); err != nil {
			p.diags.AddAttributeError(path.Root("cloud").AtName("checksum"), "Not a checksum", err.Error())
		}
	}
	if p.state == nil || p.model.Cloud.IsUnknown() {
		return
	}
	before := p.state.cloud(ctx)
	switch {
	case (cloud == nil) != (before == nil), cloud != nil && imageName(p.model, cloud) != imageName(p.state, before):
		p.replace(path.Root("cloud"))
		p.model.Path = types.StringUnknown()
	}
}

// imageName is what the names of a cloud's images begin with.
func imageName(m *testbedImageModel, cloud *imageCloudModel) string {
	if name := cloud.Name.ValueString(); name != "" {
		return name
	}
	return "autopkgtest/" + m.Release.ValueString() + "-" + m.Architecture.ValueString()
}

// imageConfig is what the job of an image is told.
func imageConfig(ctx context.Context, d *host.Directory, m *testbedImageModel) config.Image {
	include, _ := stringsOf(m.Include)
	conf := config.Image{
		Release: m.Release.ValueString(), Architecture: m.Architecture.ValueString(), Directory: d.Path(imagesPath),
		Mirror: m.Mirror.ValueString(), Every: durationOf(m.RefreshEvery), Include: include,
	}
	if cloud := m.cloud(ctx); cloud != nil {
		files, _ := listOf(cloud.RCFiles)
		options, _ := config.SplitQuoted(cloud.NovaOpts.ValueString())
		conf.Cloud = &config.CloudImage{
			Name: imageName(m, cloud), Source: cloud.Source.ValueString(), Checksum: cloud.Checksum.ValueString(),
			Canary: config.CloudCanary(cloud.Canary.ValueString()),
			Nova: config.Nova{
				RCFiles: files, KeyFile: cloud.KeyFile.ValueString(), Flavor: cloud.Flavor.ValueString(), Options: options,
			},
		}
	}
	return conf
}

func cloudStatusPath(d *host.Directory, m *testbedImageModel) string {
	return cloudimage.StatusPath(d.Path(imagesPath), m.Release.ValueString(), m.Architecture.ValueString())
}

// cloudImageState says whether workers find the image in all regions, and why not.
func cloudImageState(file string) (cloudimage.Status, error) {
	status, err := cloudimage.ReadStatus(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return status, fmt.Errorf("%w: the job has not begun", errNotBuilt)
	case err != nil || status.Complete():
		return status, err
	case status.Phase == testbed.PhaseFailed:
		return status, errors.New(status.Error)
	}
	return status, fmt.Errorf("%w: %s", errNotBuilt, status.Phase)
}

// awaitCloudImage is awaitImage for an image of clouds. What a job has said that was started anew since counts no more.
func awaitCloudImage(ctx context.Context, d *host.Directory, m *testbedImageModel, since time.Time) error {
	var failed error
	name := imageService(m.Release.ValueString(), m.Architecture.ValueString())
	err := d.WaitReady(ctx, m.what(), name, 24*time.Hour, func(context.Context) error {
		status, err := cloudImageState(cloudStatusPath(d, m))
		switch {
		case err == nil || errors.Is(err, errNotBuilt):
			return err
		case status.Since.Before(since):
			return fmt.Errorf("%w: the job has not begun", errNotBuilt)
		}
		failed = err
		return nil
	})
	if err == nil && failed != nil {
		return at(path.Root("cloud"), &problem{
			title:  "Could not publish " + m.what() + " in its clouds",
			detail: "The whole story is in " + d.LogPath(name) + " as long as the job is there.",
			err:    failed,
		})
	}
	return err
}

// inspectCloudImage warns of an image that is not renewed.
func inspectCloudImage(c *call[testbedImageModel], d *host.Directory) finding {
	c.model.Path = types.StringNull()
	status, missing := cloudImageState(cloudStatusPath(d, c.model))
	if missing != nil {
		problem := c.model.what() + " is not in all of its clouds"
		if !errors.Is(missing, errNotBuilt) {
			problem += ": " + missing.Error()
		}
		return finding{Problem: problem}
	}
	if status.Phase == testbed.PhaseFailed {
		var names []string
		for _, image := range status.Images {
			names = append(names, fmt.Sprintf("%s of %s in %s", image.Name, image.Published.Format(time.RFC1123), image.Region))
		}
		c.diags.AddWarning("A testbed image is not renewed", fmt.Sprintf(
			"Tests go on with %s; the last attempt to publish a new one failed on %s: %s", strings.Join(names, ", "),
			status.Since.Format(time.RFC1123), status.Error))
	}
	return finding{}
}

// withdrawCloudImage has the job's own program remove the image from its clouds, as the account that reads their files. The job is
// stopped, so that it does not publish it again.
func withdrawCloudImage(ctx context.Context, c *call[testbedImageModel], d *host.Directory) error {
	m := c.model
	service := imageService(m.Release.ValueString(), m.Architecture.ValueString())
	if err := d.Stop(ctx, service); err != nil && !errors.Is(err, host.ErrAbsent) {
		return err
	}
	found, err := c.binary(workerName)
	if err != nil {
		return at(path.Root("binary"), err)
	}
	program, err := d.InstallBinary(ctx, found)
	if err != nil {
		return err
	}
	// The service's own file may be gone or changed.
	conf := filepath.Join(imagesPath, "."+service+".withdraw.conf")
	if err := d.MkdirAll(imagesPath, 0o755); err != nil {
		return err
	}
	if _, err := d.WriteFile(conf, imageConfig(ctx, d, m).Bytes(), 0o600); err != nil {
		return err
	}
	if err := d.Run(ctx, host.Command{Argv: []string{program, "image", "--withdraw", "--config", d.Path(conf)}}); err != nil {
		return at(path.Root("cloud"), &problem{
			title:  "Could not remove " + m.what() + " from its clouds",
			detail: "Nothing is forgotten: do it again when the cloud can be reached.",
			err:    err,
		})
	}
	return d.Remove(ctx, conf)
}

// importedCloud is the attribute of a configuration that is there.
func importedCloud(conf config.Image) types.Object {
	c := conf.Cloud
	if c == nil {
		return types.ObjectNull(imageCloudTypes)
	}
	name := textOrNull(c.Name)
	if c.Name == "autopkgtest/"+conf.Release+"-"+conf.Architecture {
		name = types.StringNull()
	}
	return types.ObjectValueMust(imageCloudTypes, values{
		"rc_files": stringList(c.Nova.RCFiles), "name": name, "source": textOrNull(c.Source), "checksum": textOrNull(c.Checksum),
		"canary": types.StringValue(string(c.Canary)), "flavor": types.StringValue(c.Nova.Flavor), "key_file": textOrNull(c.Nova.KeyFile),
		"novaopts": textOrNull(config.JoinQuoted(c.Nova.Options)),
	})
}
