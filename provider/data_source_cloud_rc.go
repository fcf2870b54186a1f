package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

type cloudRCModel struct {
	Files      types.List   `tfsdk:"files"`
	Cloud      types.String `tfsdk:"cloud"`
	CloudsFile types.String `tfsdk:"clouds_file"`
	Regions    types.Map    `tfsdk:"regions"`
}

type cloudRCSource struct{ settings *settings }

func newCloudRC() datasource.DataSource { return &cloudRCSource{} }

// Metadata implements datasource.DataSource.
func (*cloudRCSource) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = typeName + "_cloud_rc"
}

// Configure implements datasource.DataSourceWithConfigure.
func (d *cloudRCSource) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.settings = configured(req.ProviderData, &resp.Diagnostics)
}

// Schema implements datasource.DataSource.
func (*cloudRCSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	region := map[string]schema.Attribute{}
	for _, f := range openFields {
		region[f.name] = schema.StringAttribute{Computed: true, MarkdownDescription: f.text}
		if f.isTruth() {
			region[f.name] = schema.BoolAttribute{Computed: true, MarkdownDescription: f.text}
		}
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "What OpenStack clouds are reached with, all but the secrets: from RC files, a `clouds.yaml` or the " +
			"environment. The ephemeral resource of the same name has the secrets as well.\n\n" + cloudSourcesText,
		Attributes: map[string]schema.Attribute{
			"files": schema.ListAttribute{
				Optional: true, ElementType: types.StringType, MarkdownDescription: cloudFilesText,
				Validators: []validator.List{listvalidator.SizeAtLeast(1), listvalidator.ValueStringsAre(fileName())},
			},
			"cloud": schema.StringAttribute{Optional: true, MarkdownDescription: cloudEntryText},
			"clouds_file": schema.StringAttribute{
				Optional: true, MarkdownDescription: cloudsFileText, Validators: []validator.String{absolutePath()},
			},
			"regions": schema.MapNestedAttribute{
				Computed: true, MarkdownDescription: cloudRegionsText, NestedObject: schema.NestedAttributeObject{Attributes: region},
			},
		},
	}
}

// Read implements datasource.DataSource.
func (d *cloudRCSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model cloudRCModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	sources := cloudSources{files: model.Files, cloud: model.Cloud, cloudsFile: model.CloudsFile}
	regions, err := sources.read(ctx, d.settings, &resp.Diagnostics)
	if err != nil {
		explain(&resp.Diagnostics, "Could not read what the cloud is reached with", err)
		return
	}
	model.Regions = regionsMap(openFields, regions)
	resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
}
