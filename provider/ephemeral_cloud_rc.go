package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/cloudrc"
)

// allFields are those of an ephemeral value.
var allFields = slices.Concat(openFields, secretFields)

type ephemeralCloudRCModel struct {
	Files      types.List   `tfsdk:"files"`
	Cloud      types.String `tfsdk:"cloud"`
	CloudsFile types.String `tfsdk:"clouds_file"`
	Password   types.String `tfsdk:"password"`
	Passwords  types.Map    `tfsdk:"passwords"`
	Regions    types.Map    `tfsdk:"regions"`
}

type ephemeralCloudRC struct{ settings *settings }

func newEphemeralCloudRC() ephemeral.EphemeralResource { return &ephemeralCloudRC{} }

// Metadata implements ephemeral.EphemeralResource.
func (*ephemeralCloudRC) Metadata(_ context.Context, _ ephemeral.MetadataRequest, resp *ephemeral.MetadataResponse) {
	resp.TypeName = typeName + "_cloud_rc"
}

// Configure implements ephemeral.EphemeralResourceWithConfigure.
func (e *ephemeralCloudRC) Configure(_ context.Context, req ephemeral.ConfigureRequest, resp *ephemeral.ConfigureResponse) {
	e.settings = configured(req.ProviderData, &resp.Diagnostics)
}

// Schema implements ephemeral.EphemeralResource.
func (*ephemeralCloudRC) Schema(_ context.Context, _ ephemeral.SchemaRequest, resp *ephemeral.SchemaResponse) {
	region := map[string]schema.Attribute{}
	for _, f := range allFields {
		region[f.name] = schema.StringAttribute{Computed: true, Sensitive: f.secret, MarkdownDescription: f.text}
		if f.isTruth() {
			region[f.name] = schema.BoolAttribute{Computed: true, MarkdownDescription: f.text}
		}
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "What OpenStack clouds are reached with, with the secrets: from RC files, a `clouds.yaml` or the " +
			"environment. Neither state nor plan has it.\n\n" + cloudSourcesText,
		Attributes: map[string]schema.Attribute{
			"files": schema.ListAttribute{
				Optional: true, ElementType: types.StringType, MarkdownDescription: cloudFilesText,
				Validators: []validator.List{listvalidator.SizeAtLeast(1), listvalidator.ValueStringsAre(fileName())},
			},
			"cloud": schema.StringAttribute{Optional: true, MarkdownDescription: cloudEntryText},
			"clouds_file": schema.StringAttribute{
				Optional: true, MarkdownDescription: cloudsFileText, Validators: []validator.String{absolutePath()},
			},
			"password": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "What to answer to files that ask for the password at a terminal, as those of the dashboard do, and " +
					"for sources that leave it out. It is not used where the source has one. May be an ephemeral value.",
			},
			"passwords": schema.MapAttribute{
				Optional: true, Sensitive: true, ElementType: types.StringType,
				MarkdownDescription: "The same by the names of regions, where they differ.",
			},
			"regions": schema.MapNestedAttribute{
				Computed: true, MarkdownDescription: cloudRegionsText, NestedObject: schema.NestedAttributeObject{Attributes: region},
			},
		},
	}
}

// Open implements ephemeral.EphemeralResource.
func (e *ephemeralCloudRC) Open(ctx context.Context, req ephemeral.OpenRequest, resp *ephemeral.OpenResponse) {
	var model ephemeralCloudRCModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	sources := cloudSources{files: model.Files, cloud: model.Cloud, cloudsFile: model.CloudsFile}
	regions, err := sources.read(ctx, e.settings, &resp.Diagnostics)
	if err == nil {
		err = model.answer(regions, &resp.Diagnostics)
	}
	if err != nil {
		explain(&resp.Diagnostics, "Could not read what the cloud is reached with", err)
		return
	}
	model.Regions = regionsMap(allFields, regions)
	resp.Diagnostics.Append(resp.Result.Set(ctx, &model)...)
}

// answer fills in the passwords that are asked for. One that nobody asks for is a mistake that shows later, or never.
func (m *ephemeralCloudRCModel) answer(regions cloudrc.Regions, diags *diag.Diagnostics) error {
	passwords := map[string]cloudrc.Secret{}
	for region, element := range m.Passwords.Elements() {
		if _, err := regions.Cloud(region); err != nil {
			return at(path.Root("passwords").AtMapKey(region), err)
		}
		if text, ok := element.(types.String); ok {
			passwords[region] = cloudrc.Secret(text.ValueString())
		}
	}
	password := cloudrc.Secret(m.Password.ValueString())
	used := password == ""
	for _, region := range slices.Sorted(maps.Keys(regions)) {
		c := regions[region]
		asks := c.Complete() != nil
		own, has := passwords[region]
		switch {
		case has && !asks:
			unused(diags, path.Root("passwords").AtMapKey(region), c.Source)
		case has:
			c = c.WithPassword(own)
		case asks:
			used = true
			c = c.WithPassword(password)
		}
		if err := c.Complete(); err != nil {
			return at(path.Root("password"), fmt.Errorf("region %s: %w (password, or passwords)", region, err))
		}
		regions[region] = c
	}
	if !used {
		unused(diags, path.Root("password"), "each source")
	}
	return nil
}

func unused(diags *diag.Diagnostics, where path.Path, source string) {
	diags.AddAttributeWarning(where, "The password is not used", "There is one in "+source+" already. Take one of them out.")
}
