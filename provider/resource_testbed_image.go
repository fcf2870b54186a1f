package provider

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

type testbedImageModel struct {
	serviceModel
	Binary       types.String `tfsdk:"binary"`
	Release      types.String `tfsdk:"release"`
	Architecture types.String `tfsdk:"architecture"`
	Mirror       types.String `tfsdk:"mirror"`
	RefreshEvery types.String `tfsdk:"refresh_every"`
	Include      types.Set    `tfsdk:"include"`
	Cache        types.String `tfsdk:"cache"`
	Cloud        types.Object `tfsdk:"cloud"`
	Path         types.String `tfsdk:"path"`
}

type testbedImageKind struct{}

func newTestbedImage() resource.Resource {
	return &managed[testbedImageModel]{kind: testbedImageKind{}}
}

func (testbedImageKind) typeName() string                     { return "testbed_image" }
func (testbedImageKind) base(m *testbedImageModel) *baseModel { return &m.baseModel }
func (testbedImageKind) well() string                         { return running }
func (testbedImageKind) patience(m *testbedImageModel) time.Duration {
	return m.patience(30 * time.Minute)
}
func (testbedImageKind) planRemoval(context.Context, *call[testbedImageModel]) {}

func (testbedImageKind) identity(m *testbedImageModel) []identityValue {
	return append(m.serviceIdentity(),
		identityValue{name: "release", description: "Release of the image.", value: m.Release},
		identityValue{name: "architecture", description: "Architecture of the image.", value: m.Architecture})
}

func (testbedImageKind) schema(ctx context.Context) schema.Schema {
	return schema.Schema{
		MarkdownDescription: "A testbed image: a minimal system of a release, from which each test gets a throw-away copy.\n\n" +
			"A supervised job builds it, proves it by running the tests of a small package in it, and only then puts it in " +
			"place; it does so again when the image is older than `refresh_every`, which changes nothing in a plan. The " +
			"creation waits for the first image. When a later build fails, the last good image stays, and each plan warns.\n\n" +
			"With `cloud`, the image is published in OpenStack clouds instead, in the same steps.",
		Attributes: serviceAttributes(ctx, map[string]schema.Attribute{
			"binary": binaryAttribute(workerName),
			"release": schema.StringAttribute{
				Required: true,
				MarkdownDescription: "Release, as the archive calls it; one word without a dash. The plan of a new image asks the " +
					"archive whether it has the release, and refuses what it has not.",
				Validators:    []validator.String{releaseName()},
				PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
			},
			"architecture": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(hostArchitecture()),
				MarkdownDescription: "Architecture, as Debian calls it. Default: that of this machine.",
				Validators:          []validator.String{architectureName()},
				PlanModifiers:       []planmodifier.String{stringplanmodifier.RequiresReplace()},
			},
			"mirror": schema.StringAttribute{
				Optional: true, Validators: []validator.String{webURL()},
				MarkdownDescription: "Archive to build from. Default: the one that apt on this machine uses for the release, or for " +
					"another release of the same distribution.",
			},
			"refresh_every": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(config.DurationText(config.DefaultEvery)),
				MarkdownDescription: "Age at which the image is built anew; with the `source` of a `cloud`, how often it is asked " +
					"whether the disk is another. Default: `" + config.DurationText(config.DefaultEvery) + "`.",
				Validators: []validator.String{durationAtLeast(time.Minute)},
			},
			"include": schema.SetAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Packages that are put into the image besides the minimum.",
				Validators:          []validator.Set{setvalidator.ValueStringsAre(check{"a package", config.CheckPackage})},
			},
			"cache": schema.StringAttribute{
				Optional: true, Validators: []validator.String{absolutePath()},
				MarkdownDescription: "Folder outside the stack that keeps a copy of the image. A later stack begins with it, as long as " +
					"it is what would be built, and not too old.",
			},
			"cloud": imageCloudAttribute(),
			"path": schema.StringAttribute{
				Computed: true, MarkdownDescription: "Path of the image; null for one of clouds.",
				PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
			},
		}),
	}
}

// debianArchitectures are those that Go calls otherwise.
var debianArchitectures = map[string]string{"386": "i386", "arm": "armhf", "ppc64le": "ppc64el"}

func hostArchitecture() string {
	if name, ok := debianArchitectures[runtime.GOARCH]; ok {
		return name
	}
	return runtime.GOARCH
}

func (m *testbedImageModel) service() *serviceModel {
	if m == nil {
		return nil
	}
	return &m.serviceModel
}

// what names the image in sentences.
func (m *testbedImageModel) what() string {
	return fmt.Sprintf("the image of %s for %s", m.Release.ValueString(), m.Architecture.ValueString())
}

func (testbedImageKind) plan(ctx context.Context, p *planning[testbedImageModel]) {
	p.planDirectory(&p.model.serviceModel, p.state.service(), &p.config.serviceModel, p.diags)
	p.planBinary(&p.model.serviceModel, &p.model.Binary, workerName, p.diags)
	planImageCloud(ctx, p)
	if !p.diags.HasError() && !p.model.elsewhere() && p.model.builds(ctx) {
		planRelease(ctx, p)
	}
}

func (testbedImageKind) ensure(ctx context.Context, c *call[testbedImageModel]) error {
	d, err := c.place(ctx, c.model.service(), needsOfImages)
	if err != nil {
		return err
	}
	binary, err := c.plannedBinary(workerName, c.model.Binary)
	if err != nil {
		return err
	}
	image := imagePath(d, c.model.Release.ValueString(), c.model.Architecture.ValueString())
	if err := d.MkdirAll(imagesPath, 0o755); err != nil {
		return err
	}
	if c.prior == nil {
		if err := offerCached(ctx, d, c.model.Cache.ValueString(), image); err != nil {
			return at(path.Root("cache"), err)
		}
	}
	conf := imageConfig(ctx, d, c.model)
	begin := time.Now().Truncate(time.Second)
	report, err := d.Converge(ctx, imageDefinition(d, conf, binary))
	if len(report.Started)+len(report.Restarted) == 0 {
		begin = time.Time{}
	}
	switch {
	case err != nil:
	case conf.Cloud != nil:
		err = awaitCloudImage(ctx, d, c.model, begin)
	default:
		err = awaitImage(ctx, d, c.model, image)
	}
	if err != nil {
		return c.undo(ctx, d, err, report.Created, func(ctx context.Context) error { return withdrawImage(ctx, c, d) })
	}
	if conf.Cloud != nil {
		c.model.Path = types.StringNull()
		return nil
	}
	if err := keepInCache(ctx, d, c.model.Cache.ValueString(), image); err != nil {
		c.diags.AddAttributeWarning(path.Root("cache"), "The image is not in the cache", err.Error())
	}
	c.model.Path = types.StringValue(image)
	return nil
}

// awaitImage waits for the first image. A job that says that it failed is not waited for, though it would try again.
func awaitImage(ctx context.Context, d *host.Directory, m *testbedImageModel, image string) error {
	var failed error
	name := imageService(m.Release.ValueString(), m.Architecture.ValueString())
	err := d.WaitReady(ctx, m.what(), name, 24*time.Hour, func(context.Context) error {
		_, err := imageState(image)
		if err == nil || errors.Is(err, errNotBuilt) {
			return err
		}
		failed = err
		return nil
	})
	if err == nil && failed != nil {
		return at(path.Root("release"), &problem{
			title: "Could not build " + m.what() + " from " + describeMirror(m.Mirror.ValueString()),
			detail: "Check the name of the release and the mirror; the whole story is in " + d.LogPath(name) +
				" as long as the job is there.",
			err: failed,
		})
	}
	return err
}

func (testbedImageKind) inspect(ctx context.Context, c *call[testbedImageModel]) (finding, error) {
	d, err := c.open(c.model.path())
	if err != nil {
		return finding{}, err
	}
	if d == nil {
		return absentFolder(c.model.path()), nil
	}
	name := imageService(c.model.Release.ValueString(), c.model.Architecture.ValueString())
	found, err := d.Inspect(ctx, name)
	if err != nil {
		return finding{}, err
	}
	if !found.Present {
		return absentService("image job", d.ServicePath(name)), nil
	}
	c.model.Binary = types.StringValue(found.Binary)
	if !c.model.Cloud.IsNull() {
		if result := serviceFinding(found); result.Problem != "" {
			return result, nil
		}
		return inspectCloudImage(c, d), nil
	}
	image := imagePath(d, c.model.Release.ValueString(), c.model.Architecture.ValueString())
	c.model.Path = types.StringValue(image)
	if result := serviceFinding(found); result.Problem != "" {
		return result, nil
	}
	info, missing := imageState(image)
	if missing != nil {
		return imageMissing(image, missing), nil
	}
	if info.Phase == testbed.PhaseFailed {
		c.diags.AddWarning("A testbed image is not renewed", fmt.Sprintf(
			"Tests go on with %s of %s; the last attempt to build a new one failed on %s: %s", c.model.what(),
			info.Built.Format(time.RFC1123), info.Since.Format(time.RFC1123), info.Error))
	}
	return finding{}, nil
}

func imageMissing(image string, why error) finding {
	problem := "the image " + image + " is missing"
	if !errors.Is(why, errNotBuilt) {
		problem += ": " + why.Error()
	}
	return finding{Problem: problem, Absent: true}
}

func (testbedImageKind) remove(ctx context.Context, c *call[testbedImageModel]) error {
	return c.withdraw(ctx, c.model.path(), func(d *host.Directory) error {
		image := imagePath(d, c.model.Release.ValueString(), c.model.Architecture.ValueString())
		if err := keepInCache(ctx, d, c.model.Cache.ValueString(), image); err != nil {
			c.diags.AddWarning("The image is not in the cache", err.Error())
		}
		return withdrawImage(ctx, c, d)
	})
}

// withdrawImage removes the job and all that it makes.
func withdrawImage(ctx context.Context, c *call[testbedImageModel], d *host.Directory) error {
	release, architecture := c.model.Release.ValueString(), c.model.Architecture.ValueString()
	if !c.model.Cloud.IsNull() {
		if err := withdrawCloudImage(ctx, c, d); err != nil {
			return err
		}
	}
	if err := d.Withdraw(ctx, imageService(release, architecture)); err != nil {
		return err
	}
	stem := filepath.Join(imagesPath, release+"-"+architecture)
	for _, name := range []string{
		stem + testbed.ImageSuffix, stem + testbed.InfoSuffix, stem + testbed.InfoSuffix + ".new",
		stem + ".candidate" + testbed.ImageSuffix, stem + ".candidate" + testbed.InfoSuffix,
		filepath.Join(imagesPath, "."+release+"-"+architecture+".work"),
		filepath.Join(imagesPath, "."+release+"-"+architecture+".cloud.disk"),
		stem + ".cloud.json", stem + ".cloud.json.new",
		filepath.Join(imagesPath, "."+release+"-"+architecture+".cloud.work"),
		filepath.Join(imagesPath, "."+release+"-"+architecture+".cloud.work.lock"),
	} {
		if err := d.Remove(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// imported reads back what the job runs with.
func (testbedImageKind) imported(_ context.Context, c *call[testbedImageModel]) error {
	d, err := c.open(c.model.path())
	if d == nil || err != nil {
		return err
	}
	c.model.System = types.BoolValue(d.System())
	conf, err := config.LoadImage(d.ServicePath(imageService(c.model.Release.ValueString(), c.model.Architecture.ValueString()), imageConf))
	if err != nil {
		return notThere(err)
	}
	c.model.Cloud = importedCloud(conf)
	c.model.Mirror = textOrNull(conf.Mirror)
	c.model.RefreshEvery = types.StringValue(config.DurationText(conf.Every))
	c.model.Include = types.SetNull(types.StringType)
	if len(conf.Include) > 0 {
		c.model.Include = stringSet(conf.Include)
	}
	return nil
}
