package provider

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

type webModel struct {
	serviceModel
	Binary                types.String `tfsdk:"binary"`
	BrokerCredentials     types.String `tfsdk:"broker_credentials_file"`
	OperatorCredentials   types.String `tfsdk:"operator_credentials_file"`
	Broker                types.Object `tfsdk:"broker"`
	StorageURL            types.String `tfsdk:"storage_url"`
	Releases              types.Set    `tfsdk:"releases"`
	Architectures         types.Set    `tfsdk:"architectures"`
	Listen                types.String `tfsdk:"listen"`
	Port                  types.Int64  `tfsdk:"port"`
	ExternalURL           types.String `tfsdk:"external_url"`
	URL                   types.String `tfsdk:"url"`
	OperatorConfiguration types.String `tfsdk:"operator_configuration"`
}

// administeredModel is what the operator's command has to know of a broker to look after its users: a part of brokerModel.
type administeredModel struct {
	ManagementURL   types.String `tfsdk:"management_url"`
	CredentialsFile types.String `tfsdk:"credentials_file"`
	CAFile          types.String `tfsdk:"ca_file"`
}

var administeredTypes = map[string]attr.Type{
	"management_url":   types.StringType,
	"credentials_file": types.StringType,
	"ca_file":          types.StringType,
}

type webKind struct{}

func newWeb() resource.Resource { return &managed[webModel]{kind: webKind{}} }

func (webKind) typeName() string                             { return "web" }
func (webKind) base(m *webModel) *baseModel                  { return &m.baseModel }
func (webKind) identity(m *webModel) []identityValue         { return m.serviceIdentity() }
func (webKind) well() string                                 { return running }
func (webKind) patience(m *webModel) time.Duration           { return m.patience(3 * time.Minute) }
func (webKind) planRemoval(context.Context, *call[webModel]) {}

func (webKind) schema(ctx context.Context) schema.Schema {
	return schema.Schema{
		MarkdownDescription: "The website that shows the results, with the collector that learns of them and keeps their index.\n\n" +
			"Nothing in its folder is precious: the index is built again from the store.",
		Attributes: serviceAttributes(ctx, map[string]schema.Attribute{
			"binary": binaryAttribute(collectorName),
			"broker_credentials_file": schema.StringAttribute{
				Required: true, Validators: []validator.String{fileName()},
				MarkdownDescription: "Credentials of a broker user with the role `collector`.",
			},
			"operator_credentials_file": schema.StringAttribute{
				Optional: true, Validators: []validator.String{fileName()},
				MarkdownDescription: "Credentials of a broker user with the role `operator`, or `requester` where nobody is to cancel or " +
					"requeue running tests, for `operator_configuration`. Whoever requests tests with " +
					"`autopkgtest-cloud` must be able to read this file.",
			},
			"broker": schema.SingleNestedAttribute{
				Optional: true,
				MarkdownDescription: "The broker whose users `autopkgtest-cloud rotate` and `expire` look after with the " +
					"`operator_configuration`, as `autopkgtest_rabbitmq_server` hands it out. Only who can read the administrator's " +
					"credentials can use them. Without it these commands are told on their command line.",
				Attributes: map[string]schema.Attribute{
					"management_url": schema.StringAttribute{
						Required: true, MarkdownDescription: brokerURLText, Validators: []validator.String{managementURL()},
					},
					"credentials_file": schema.StringAttribute{Required: true, MarkdownDescription: brokerFileText},
					"ca_file":          schema.StringAttribute{Optional: true, MarkdownDescription: brokerCAText},
				},
			},
			"storage_url": schema.StringAttribute{
				Required: true, MarkdownDescription: "Public address above the result containers. They are read without logging in.",
				Validators: []validator.String{webURL()},
			},
			"releases":      releasesAttribute(),
			"architectures": architecturesAttribute(),
			"listen": schema.StringAttribute{
				Optional: true, MarkdownDescription: "Address to listen on. Default: `127.0.0.1`.",
				Validators: []validator.String{ipAddress()},
			},
			"port": schema.Int64Attribute{
				Optional: true, MarkdownDescription: "Port to listen on. Default: one of the stack's own.",
				Validators: []validator.Int64{int64validator.Between(1, 65535)},
			},
			"external_url": schema.StringAttribute{
				Optional: true, Validators: []validator.String{webURL()},
				MarkdownDescription: "How people reach the site, when that is not where it listens: links begin with it.",
			},
			"url": schema.StringAttribute{
				Computed: true, MarkdownDescription: "Address of the site.",
				PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
			},
			"operator_configuration": schema.StringAttribute{
				Computed: true, PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
				MarkdownDescription: "Path of the configuration file that `autopkgtest-cloud --config` takes.",
			},
		}),
	}
}

func (m *webModel) service() *serviceModel {
	if m == nil {
		return nil
	}
	return &m.serviceModel
}

func (m *webModel) givens() []given {
	return []given{
		{attribute: "broker_credentials_file", name: m.BrokerCredentials, copyName: "etc/broker", broker: true},
		{attribute: "operator_credentials_file", name: m.OperatorCredentials, copyName: "etc/operator", broker: true},
	}
}

func (webKind) plan(_ context.Context, p *planning[webModel]) {
	p.planDirectory(&p.model.serviceModel, p.state.service(), &p.config.serviceModel, p.diags)
	p.planBinary(&p.model.serviceModel, &p.model.Binary, collectorName, p.diags)
	if p.state != nil && (!p.state.Listen.Equal(p.model.Listen) || !p.state.Port.Equal(p.model.Port) ||
		!p.state.ExternalURL.Equal(p.model.ExternalURL) || p.model.elsewhere() || p.stackAbsent(p.state.path())) {
		p.model.URL = types.StringUnknown()
	}
}

func (webKind) ensure(ctx context.Context, c *call[webModel]) error {
	d, err := c.place(ctx, c.model.service(), needsOfWeb)
	if err != nil {
		return err
	}
	binary, err := c.plannedBinary(collectorName, c.model.Binary)
	if err != nil {
		return err
	}
	address, url := webAddress(d, c.model.Listen.ValueString(), c.model.Port.ValueInt64(), c.model.ExternalURL.ValueString())
	releases, _ := stringsOf(c.model.Releases)
	architectures, _ := stringsOf(c.model.Architectures)
	credentials, err := c.copied(ctx, d, webService, c.model.givens()...)
	if err != nil {
		return err
	}
	definition := webDefinition(d, webSettings{
		Collector: config.Collector{
			BrokerCredentials: credentials.paths["broker_credentials_file"],
			StoreURL:          c.model.StorageURL.ValueString(),
			Releases:          releases,
			Architectures:     architectures,
			Listen:            address,
			Database:          d.ServicePath(webService, "data", "autopkgtest.db"),
			ExternalURL:       url,
		},
		Operator: operatorConfiguration(ctx, c, credentials.paths["operator_credentials_file"], url),
		Binary:   binary,
		Copies:   credentials.files,
	})
	report, err := d.Converge(ctx, definition)
	if err == nil {
		err = d.WaitReady(ctx, "the website at "+url, webService, startLimit, ready(address))
	}
	if err != nil {
		return c.undo(ctx, d, atPort(err), report.Created, func(ctx context.Context) error { return d.Withdraw(ctx, webService) })
	}
	c.model.Binary = types.StringValue(binary.SHA256)
	c.model.URL = types.StringValue(url)
	c.model.OperatorConfiguration = types.StringValue(d.ServicePath(webService, operatorConf))
	return nil
}

// operatorConfiguration is what the operator's command is told of this cloud. An administrator's credentials stay where they are:
// on another machine than the broker's, who rotates users says where they lie.
func operatorConfiguration(ctx context.Context, c *call[webModel], credentials, url string) config.Operator {
	o := config.Operator{WebURL: url, BrokerCredentials: credentials}
	var broker administeredModel
	if !c.model.Broker.IsNull() {
		_ = c.model.Broker.As(ctx, &broker, basetypes.ObjectAsOptions{}) // the schema has the same attributes
	}
	here, ok := c.files.here(broker.CredentialsFile.ValueString())
	if !ok || here == "" {
		return o
	}
	o.ManagementURL, o.ManagementCredentials = broker.ManagementURL.ValueString(), here
	o.ManagementAuthority, _ = c.files.here(broker.CAFile.ValueString())
	return o
}

func (webKind) inspect(ctx context.Context, c *call[webModel]) (finding, error) {
	d, err := c.open(c.model.path())
	if err != nil {
		return finding{}, err
	}
	if d == nil {
		return absentFolder(c.model.path()), nil
	}
	found, err := d.Inspect(ctx, webService)
	if err != nil {
		return finding{}, err
	}
	if !found.Present {
		return absentService("website", d.ServicePath(webService)), nil
	}
	c.model.Binary = types.StringValue(found.Binary)
	if result := serviceFinding(found); result.Problem != "" {
		return result, nil
	}
	conf, err := config.LoadCollector(d.ServicePath(webService, collectorConf))
	if err != nil {
		return finding{}, err
	}
	if result := c.copyFinding(ctx, d, webService, c.model.givens()...); result != (finding{}) {
		return result, nil
	}
	return healthFinding(ctx, "the website", conf.Listen), nil
}

func (webKind) remove(ctx context.Context, c *call[webModel]) error {
	return c.withdraw(ctx, c.model.path(), func(d *host.Directory) error { return d.Withdraw(ctx, webService) })
}

// imported reads back what the website runs with.
func (webKind) imported(_ context.Context, c *call[webModel]) error {
	d, err := c.open(c.model.path())
	if d == nil || err != nil {
		return err
	}
	c.model.System = types.BoolValue(d.System())
	conf, err := config.LoadCollector(d.ServicePath(webService, collectorConf))
	if err != nil {
		return notThere(err)
	}
	operator, err := config.LoadOperator(d.ServicePath(webService, operatorConf))
	if err != nil {
		return notThere(err)
	}
	c.model.BrokerCredentials = types.StringValue(c.files.name(conf.BrokerCredentials))
	if operator.BrokerCredentials != "" {
		c.model.OperatorCredentials = types.StringValue(c.files.name(operator.BrokerCredentials))
	}
	c.model.Broker = types.ObjectNull(administeredTypes)
	if operator.ManagementURL != "" {
		c.model.Broker = types.ObjectValueMust(administeredTypes, map[string]attr.Value{
			"management_url":   types.StringValue(operator.ManagementURL),
			"credentials_file": types.StringValue(c.files.name(operator.ManagementCredentials)),
			"ca_file":          textOrNull(operator.ManagementAuthority),
		})
	}
	c.model.StorageURL = types.StringValue(conf.StoreURL)
	c.model.Releases = stringSet(conf.Releases)
	c.model.Architectures = stringSet(conf.Architectures)
	c.model.importAddress(d, conf)
	c.model.OperatorConfiguration = types.StringValue(d.ServicePath(webService, operatorConf))
	return nil
}

// importAddress reads back where the website listens and how people reach it, as far as that is not the default.
func (m *webModel) importAddress(d *host.Directory, conf config.Collector) {
	own, url := webAddress(d, "", 0, "")
	if conf.Listen != own {
		listen, port, _ := net.SplitHostPort(conf.Listen) // LoadCollector has checked it
		if number, err := strconv.ParseInt(port, 10, 64); err == nil && int(number) != d.Port(host.RoleWeb) {
			m.Port = types.Int64Value(number)
		}
		if ownHost, _, _ := net.SplitHostPort(own); listen != ownHost {
			m.Listen = types.StringValue(listen)
		}
		url = "http://" + conf.Listen + "/"
	}
	if conf.ExternalURL != strings.TrimSuffix(url, "/") {
		url = conf.ExternalURL
		m.ExternalURL = types.StringValue(url)
	}
	m.URL = types.StringValue(url)
}
