package provider

import (
	"context"
	"errors"
	"io/fs"

	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

type brokerCredentialsModel struct {
	CredentialsFile types.String `tfsdk:"credentials_file"`
	URL             types.String `tfsdk:"url"`
	Username        types.String `tfsdk:"username"`
	Password        types.String `tfsdk:"password"`
	Host            types.String `tfsdk:"host"`
	Port            types.Int64  `tfsdk:"port"`
	CAFile          types.String `tfsdk:"ca_file"`
	BritneyConf     types.String `tfsdk:"britney_conf"`
	Shell           types.String `tfsdk:"shell"`
}

type brokerCredentials struct{ settings *settings }

func newBrokerCredentials() ephemeral.EphemeralResource { return &brokerCredentials{} }

// Metadata implements ephemeral.EphemeralResource.
func (*brokerCredentials) Metadata(_ context.Context, _ ephemeral.MetadataRequest, resp *ephemeral.MetadataResponse) {
	resp.TypeName = typeName + "_broker_credentials"
}

// Schema implements ephemeral.EphemeralResource.
func (*brokerCredentials) Schema(_ context.Context, _ ephemeral.SchemaRequest, resp *ephemeral.SchemaResponse) {
	text := func(text string, secret bool) schema.Attribute {
		return schema.StringAttribute{Computed: true, Sensitive: secret, MarkdownDescription: text}
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "The credentials of a broker user, read from its file, for what takes an ephemeral value: another " +
			"provider's configuration, a write-only attribute. Neither state nor plan has them.\n\n" +
			"As long as the file is not there, as in the plan that is going to make the user, all values are null, and a warning says so.",
		Attributes: map[string]schema.Attribute{
			"credentials_file": schema.StringAttribute{
				Required: true, Validators: []validator.String{fileName()},
				MarkdownDescription: "Path of the user's credentials file, or `ssh://USER@HOST:PORT/PATH`: `credentials_file` of " +
					"`autopkgtest_broker_user`.",
			},
			"url":      text("`amqp://USER:PASSWORD@HOST`, or `amqps://`, as clients take it.", true),
			"username": text("Name of the user.", false),
			"password": text("Its password.", true),
			"host":     text("Host of the broker.", false),
			"port":     schema.Int64Attribute{Computed: true, MarkdownDescription: "Port of the broker."},
			"ca_file": text("Path of the certificate of the authority to believe in, with `amqps://`; null for those that the machine "+
				"knows.", false),
			"britney_conf": text("The line `ADT_AMQP = amqp://...` for britney's configuration.", true),
			"shell":        text("The line `export ADT_AMQP='amqp://...'` for a shell.", true),
		},
	}
}

// Configure implements ephemeral.EphemeralResourceWithConfigure.
func (e *brokerCredentials) Configure(_ context.Context, req ephemeral.ConfigureRequest, resp *ephemeral.ConfigureResponse) {
	e.settings = configured(req.ProviderData, &resp.Diagnostics)
}

// Open implements ephemeral.EphemeralResource.
func (e *brokerCredentials) Open(ctx context.Context, req ephemeral.OpenRequest, resp *ephemeral.OpenResponse) {
	var model brokerCredentialsModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	file := model.CredentialsFile.ValueString()
	account, err := e.settings.readBroker(ctx, file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		resp.Diagnostics.AddAttributeWarning(path.Root("credentials_file"), "There are no credentials yet",
			"The file "+file+" is not there, so all values of this ephemeral resource are null. If the user is made by this "+
				"configuration, refer to its credentials_file: the apply then reads it once it is there.")
	case err != nil:
		explain(&resp.Diagnostics, "Could not read the credentials", at(path.Root("credentials_file"), err))
		return
	default:
		model.fill(account)
	}
	resp.Diagnostics.Append(resp.Result.Set(ctx, &model)...)
}

func (m *brokerCredentialsModel) fill(account config.Broker) {
	port := account.Port
	if port == 0 {
		port = config.DefaultPort
	}
	m.CAFile = textOrNull(account.CAFile)
	m.URL = types.StringValue(account.URI().Reveal())
	m.Username, m.Password = types.StringValue(account.Username), types.StringValue(account.Password.Reveal())
	m.Host, m.Port = types.StringValue(account.Host), types.Int64Value(int64(port))
	m.BritneyConf = types.StringValue(account.Line(config.KeyGatekeeper).Reveal())
	m.Shell = types.StringValue(account.Shell(config.KeyGatekeeper).Reveal())
}
