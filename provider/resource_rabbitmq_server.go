package provider

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

type rabbitMQServerModel struct {
	serviceModel
	DeliveryTimeout types.String `tfsdk:"delivery_timeout"`
	Listen          types.List   `tfsdk:"listen"`
	Port            types.Int64  `tfsdk:"port"`
	TLS             types.Object `tfsdk:"tls"`
	TLSEndpoint     types.Object `tfsdk:"tls_endpoint"`
	Cluster         types.Object `tfsdk:"cluster"`
	MemoryWatermark types.String `tfsdk:"memory_watermark"`
	DiskFreeLimit   types.String `tfsdk:"disk_free_limit"`
	LogSize         types.String `tfsdk:"log_size"`
	LogFiles        types.Int64  `tfsdk:"log_files"`
	Broker          types.Object `tfsdk:"broker"`

	AllowMessageLoss types.Bool `tfsdk:"allow_message_loss"`
}

type rabbitMQServerKind struct{}

func newRabbitMQServer() resource.Resource {
	return &managed[rabbitMQServerModel]{kind: rabbitMQServerKind{}}
}

func (rabbitMQServerKind) typeName() string                       { return "rabbitmq_server" }
func (rabbitMQServerKind) base(m *rabbitMQServerModel) *baseModel { return &m.baseModel }
func (rabbitMQServerKind) identity(m *rabbitMQServerModel) []identityValue {
	return m.serviceIdentity()
}
func (rabbitMQServerKind) well() string { return running }
func (rabbitMQServerKind) patience(m *rabbitMQServerModel) time.Duration {
	return m.patience(5 * time.Minute)
}

func (rabbitMQServerKind) schema(ctx context.Context) schema.Schema {
	attributes := map[string]schema.Attribute{
		"delivery_timeout": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString(config.DurationText(rabbitmq.DefaultDeliveryTimeout)),
			MarkdownDescription: "How long a worker may hold a request before the broker takes it away and hands it to another: more " +
				"than three times the `timeout` of the workers and their `spool_patience`. The value is read back from the running node. " +
				"Default: `48h`.",
			Validators: []validator.String{deliveryTimeout()},
		},
		"broker": schema.SingleNestedAttribute{
			Computed: true, Attributes: computedBroker(),
			MarkdownDescription: "The broker, as other resources take it.",
			PlanModifiers:       []planmodifier.Object{objectplanmodifier.UseStateForUnknown()},
		},
	}
	attributes["allow_message_loss"] = schema.BoolAttribute{
		Optional: true,
		MarkdownDescription: "Let a destroy remove a broker that still holds requests. Default: `false`. A replacement " +
			"(`-replace`) goes on with users, queues and requests in any case.",
	}
	attributes["cluster"] = clusterAttribute()
	maps.Copy(attributes, listenAttributes())
	maps.Copy(attributes, limitAttributes())
	return schema.Schema{
		MarkdownDescription: "A message broker in the stack's folder: RabbitMQ on one machine, supervised and without root. It has " +
			"an administrator with a generated password, and no user `guest`. Beside it runs a job that removes users whose end " +
			"has come after a rotation (`autopkgtest-cloud expire`).\n\nRequests that wait exist nowhere else: its " +
			"data is what one backs up.",
		Attributes: serviceAttributes(ctx, attributes),
	}
}

func (m *rabbitMQServerModel) service() *serviceModel {
	if m == nil {
		return nil
	}
	return &m.serviceModel
}

func (rabbitMQServerKind) plan(ctx context.Context, p *planning[rabbitMQServerModel]) {
	p.planDirectory(&p.model.serviceModel, p.state.service(), &p.config.serviceModel, p.diags)
	p.model.planSettings(ctx, p)
	if p.model.TLS.IsNull() {
		p.model.TLSEndpoint = types.ObjectNull(tlsEndpointTypes)
	}
	p.warnOfMove(p.state.service(), &p.model.serviceModel, "requests of the broker")
	if p.model.elsewhere() {
		return
	}
	if p.state == nil {
		if kept, ok := p.keptBroker(p.model.path(), p.brokerSettings(ctx, p.model)); ok {
			p.model.Broker = kept
		}
		return
	}
	if p.model.rerouted(&p.state.serviceModel) {
		p.model.Broker = types.ObjectUnknown(brokerTypes)
		if !p.model.TLS.IsNull() {
			p.model.TLSEndpoint = types.ObjectUnknown(tlsEndpointTypes)
		}
		return
	}
	if !hasIncarnation(p.state.Broker) || p.state.beginsAnew(p.model) {
		p.model.Broker = p.newIncarnation(p.state.Broker, p.state.path())
		p.warnOfLoss(ctx, p.state.Broker, "the broker in "+p.state.path(),
			"The apply begins with an empty broker: users come back with the passwords in their files, queues come back empty.")
	}
	moved := !p.state.Port.Equal(p.model.Port) || !p.state.Listen.Equal(p.model.Listen)
	switch {
	case moved:
		p.model.Broker = types.ObjectUnknown(brokerTypes)
	case !p.model.Cluster.IsNull():
		p.model.Broker = p.memberBroker(p.model.Broker, p.state.path(), p.model.settings(ctx))
	}
	if !p.model.TLS.IsNull() && (moved || !p.state.TLS.Equal(p.model.TLS) || renewsAuthority(ctx, p)) {
		p.model.TLSEndpoint = types.ObjectUnknown(tlsEndpointTypes)
	}
}

// renewsAuthority says whether clients will have to learn of another authority than the one in the state. What keeps it from being
// known is the apply's to report.
func renewsAuthority(ctx context.Context, p *planning[rabbitMQServerModel]) bool {
	var known endpointModel
	_ = p.state.TLSEndpoint.As(ctx, &known, basetypes.ObjectAsOptions{}) // the schema has the same attributes
	d, err := p.open(p.model.path())
	if d == nil || err != nil || !p.model.known() {
		return err == nil && d == nil
	}
	renews, err := rabbitmq.Renews(d, p.brokerSettings(ctx, p.model), known.CACertificate.ValueString())
	return renews && err == nil
}

func (rabbitMQServerKind) ensure(ctx context.Context, c *call[rabbitMQServerModel]) error {
	d, err := c.place(ctx, c.model.service(), needsOfRabbitMQ)
	if err != nil {
		return err
	}
	// What holds data was not begun by us, whatever became of its manifest.
	begun := began(d, rabbitmq.Service) && !rabbitmq.HoldsData(d)
	s := c.brokerSettings(ctx, c.model)
	mayFound(ctx, c, s)
	info, err := rabbitmq.Apply(ctx, d, s)
	if err != nil {
		return c.undo(ctx, d, atSetting(err), begun, func(ctx context.Context) error { return rabbitmq.Withdraw(ctx, d) })
	}
	if err := c.ensureExpiry(ctx, d, info); err != nil {
		return c.undo(ctx, d, err, begun, func(ctx context.Context) error { return withdrawBroker(ctx, d) })
	}
	if info.Warning != "" {
		c.diags.AddAttributeWarning(path.Root("port"), "Not every client can reach the broker", info.Warning+".")
	}
	markMember(ctx, c, s)
	c.model.Broker, c.model.TLSEndpoint = c.brokerObject(info, s), c.tlsEndpoint(info)
	return nil
}

func (s *settings) brokerObject(info rabbitmq.Info, wanted rabbitmq.Settings) types.Object {
	incarnation := types.StringNull()
	if info.Incarnation != "" {
		incarnation = types.StringValue(info.Incarnation)
	}
	return object(brokerTypes, values{
		"management_url":   types.StringValue(info.ManagementURL),
		"credentials_file": types.StringValue(s.files.name(info.CredentialsFile)),
		"host":             types.StringValue(info.Host),
		"port":             types.Int64Value(int64(info.Port)),
		"incarnation":      incarnation,
		"ca_file":          types.StringNull(), // ours is plain, on loopback
		"hosts":            clusterHosts(wanted),
	})
}

func (rabbitMQServerKind) inspect(ctx context.Context, c *call[rabbitMQServerModel]) (finding, error) {
	d, err := c.open(c.model.path())
	if err != nil {
		return finding{}, err
	}
	if d == nil {
		c.model.Broker = c.model.withoutData(c.model.Broker)
		return absentFolder(c.model.path()), nil
	}
	info, err := rabbitmq.Inspect(ctx, d, c.brokerSettings(ctx, c.model))
	if err != nil {
		return finding{}, err
	}
	if !info.Present {
		c.model.Broker = c.model.withoutData(c.model.Broker)
		return absentService("broker", d.ServicePath(rabbitmq.Service)), nil
	}
	known := c.model.Broker
	c.model.Broker, c.model.TLSEndpoint = c.brokerObject(info, c.model.settings(ctx)), c.tlsEndpoint(info)
	if info.Incarnation == "" {
		c.model.Broker = c.model.withoutData(known)
	}
	if info.Problem != "" {
		return finding{Problem: info.Problem}, nil
	}
	c.rememberBroker(ctx, info)
	problem, err := c.expiryProblem(ctx, d)
	return finding{Problem: problem}, err
}

// rememberBroker keeps the names of users and queues for a plan that has to say what is gone.
func (c *call[M]) rememberBroker(ctx context.Context, info rabbitmq.Info) {
	client, err := c.broker(ctx, brokerModel{
		ManagementURL:   types.StringValue(info.ManagementURL),
		CredentialsFile: types.StringValue(c.files.name(info.CredentialsFile)),
	})
	if err != nil {
		return
	}
	users, err := client.Users(ctx)
	if err != nil {
		return
	}
	queues, err := client.Queues(ctx)
	if err != nil {
		return
	}
	var known inventory
	for _, name := range users {
		if name != client.Username() {
			known.Things = append(known.Things, "the user "+name)
		}
	}
	for _, queue := range queues {
		known.Things = append(known.Things, "the queue "+queue.Name+" with "+plural(queue.Messages, "message", "messages"))
	}
	known.remember(ctx, c.memory)
}

func (rabbitMQServerKind) remove(ctx context.Context, c *call[rabbitMQServerModel]) error {
	if c.replaced(ctx) {
		return c.unload(c.model.path(), func(d *host.Directory) error {
			return errors.Join(d.Withdraw(ctx, expireService), rabbitmq.Unload(ctx, d))
		})
	}
	return leave(ctx, c, func() error {
		return c.withdraw(ctx, c.model.path(), func(d *host.Directory) error { return withdrawBroker(ctx, d) })
	})
}

// withdrawBroker removes the node with the job beside it.
func withdrawBroker(ctx context.Context, d *host.Directory) error {
	return errors.Join(d.Withdraw(ctx, expireService), rabbitmq.Withdraw(ctx, d))
}

// imported reads back what the node is configured with. Whether it has TLS, and with whose certificate, is the configuration's
// to say: the plan after the import shows it.
func (rabbitMQServerKind) imported(_ context.Context, c *call[rabbitMQServerModel]) error {
	c.model.TLS = types.ObjectNull(tlsTypes())
	c.model.TLSEndpoint = types.ObjectNull(tlsEndpointTypes)
	c.model.Cluster = types.ObjectNull(clusterTypes())
	d, err := c.open(c.model.path())
	if d == nil || err != nil {
		return err
	}
	c.model.System = types.BoolValue(d.System())
	s, err := rabbitmq.Configured(d)
	if err != nil || s.DeliveryTimeout == 0 {
		return err
	}
	c.model.DeliveryTimeout = types.StringValue(config.DurationText(s.DeliveryTimeout))
	c.model.Listen = stringList(s.Listen)
	if s.Port != 0 {
		c.model.Port = types.Int64Value(int64(s.Port))
	}
	c.model.MemoryWatermark = types.StringValue(s.Memory.String())
	c.model.DiskFreeLimit = types.StringValue(config.Size(s.Reserve).String())
	c.model.LogSize = types.StringValue(config.Size(s.Log.Bytes).String())
	c.model.LogFiles = types.Int64Value(int64(s.Log.Files))
	if s.Cluster != nil {
		c.model.Cluster = object(clusterTypes(), values{
			"address": types.StringValue(s.Cluster.Address), "port": types.Int64Null(), "members": stringList(s.Cluster.Members),
			"cookie_file": types.StringValue(d.ServicePath(rabbitmq.Service, ".erlang.cookie")),
		})
	}
	return nil
}

// atSetting says which attribute an error of an apply concerns.
func atSetting(err error) error {
	if placed := atCluster(err); placed != nil {
		return placed
	}
	var field *rabbitmq.FieldError
	switch {
	case errors.As(err, &field):
		return at(path.Root("tls").AtName(string(field.Field)), err)
	case errors.Is(err, host.ErrNoSpace):
		return at(path.Root("disk_free_limit"), err)
	}
	return atPort(err)
}
