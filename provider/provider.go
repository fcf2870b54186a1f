// Package provider is the Terraform provider: it maps configuration onto the packages that deploy (host, rabbitmq, swift)
// and the ones that hold the field's rules (worker/...), and their errors onto diagnostics.
//
// It holds no knowledge of its own about runit, RabbitMQ or Swift; the four folders beside it know nothing of Terraform.
// There is one file per resource and function; what several share lies in common_*.go. Each resource has a computed
// status: Read says in it what is wrong, ModifyPlan expects that all is well, and Update converges.
//
// Start reading at common_service.go, then resource_web.go, which is the plainest of the resources.
package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// Address is the provider's address, as configurations write it in full.
const Address = "registry.terraform.io/autopkgtest-cloud/autopkgtest"

// typeName begins the name of every resource.
const typeName = "autopkgtest"

var (
	_ provider.Provider                       = (*autopkgtestProvider)(nil)
	_ provider.ProviderWithFunctions          = (*autopkgtestProvider)(nil)
	_ provider.ProviderWithEphemeralResources = (*autopkgtestProvider)(nil)
)

type autopkgtestProvider struct {
	version  string
	files    files
	settings *settings // once it is configured
}

type providerModel struct {
	Stack     types.String `tfsdk:"stack"`
	Directory types.String `tfsdk:"directory"`
	Account   types.String `tfsdk:"account"`
	System    types.Bool   `tfsdk:"system"`
	Binaries  types.String `tfsdk:"binaries"`
}

// Metadata implements provider.Provider.
func (p *autopkgtestProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = typeName
	resp.Version = p.version
}

// Schema implements provider.Provider.
func (p *autopkgtestProvider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Deploys and repairs a test cloud for a distribution's packages: a RabbitMQ broker, a Swift " +
			"result store, workers, and the website that shows the results.",
		Attributes: map[string]schema.Attribute{
			"stack": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Name of the stack, which marks everything that is made for it. A folder that bears " +
					"another stack's mark is refused, one that bears this stack's is adopted. Default: `" + defaultStack + "`.",
				Validators: []validator.String{stackName()},
			},
			"directory": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Folder of the stack on this machine, an absolute path. Services without a `directory` of " +
					"their own are put there.",
				Validators: []validator.String{absolutePath()},
			},
			"account": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Account that owns the stack's folder and runs its processes. Root may name any ordinary " +
					"account (default: `autopkgtest-cloud`, which `scripts/setup` makes); anybody else runs them as themselves.",
			},
			"system": schema.BoolAttribute{
				Optional: true,
				MarkdownDescription: "Put the services of the stack onto the machine as a whole, under systemd. Services may have a " +
					"`system` of their own. Default: `false`.",
			},
			"binaries": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Folder that holds the services' own programs, as `linux_ARCHITECTURE/NAME`. " +
					"Default: the folder of the provider.",
				Validators: []validator.String{absolutePath()},
			},
		},
	}
}

// Configure implements provider.Provider. It connects to nothing: that a broker's address is not known yet must not
// keep anything from being planned.
func (p *autopkgtestProvider) Configure(ctx context.Context, req provider.ConfigureRequest,
	resp *provider.ConfigureResponse) {
	var model providerModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	settings, diags := newSettings(model, p.files)
	resp.Diagnostics.Append(diags...)
	p.settings = settings
	resp.ResourceData = settings
	resp.DataSourceData = settings
	resp.EphemeralResourceData = settings
}

// Resources implements provider.Provider.
func (p *autopkgtestProvider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{
		newRabbitMQServer,
		newSwiftServer,
		newTestbedImage,
		newBroker,
		newBrokerUser,
		newRequestQueues,
		newResultContainers,
		newSecurityGroup,
		newInstance,
		newWorker,
		newWeb,
		newFloatingIP,
		newKeyPair,
	}
}

// DataSources implements provider.Provider.
func (p *autopkgtestProvider) DataSources(context.Context) []func() datasource.DataSource {
	return []func() datasource.DataSource{newQueues, newHealth, newCloudRC}
}

// EphemeralResources implements provider.ProviderWithEphemeralResources.
func (p *autopkgtestProvider) EphemeralResources(context.Context) []func() ephemeral.EphemeralResource {
	return []func() ephemeral.EphemeralResource{newBrokerCredentials, newEphemeralCloudRC}
}

// Functions implements provider.ProviderWithFunctions.
func (p *autopkgtestProvider) Functions(context.Context) []func() function.Function {
	return []func() function.Function{newQueueName, newResultPrefix, newContainerName, newParseRC, newWorkerConf}
}
