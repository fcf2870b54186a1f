package provider

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

type rabbitMQServerModel struct {
	serviceModel
	DeliveryTimeout types.String `tfsdk:"delivery_timeout"`
	Port            types.Int64  `tfsdk:"port"`
	Broker          types.Object `tfsdk:"broker"`
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
func (rabbitMQServerKind) well() string                                            { return running }
func (rabbitMQServerKind) patience(*rabbitMQServerModel) time.Duration             { return 5 * time.Minute }
func (rabbitMQServerKind) planRemoval(context.Context, *call[rabbitMQServerModel]) {}

func (rabbitMQServerKind) schema(ctx context.Context) schema.Schema {
	return schema.Schema{
		MarkdownDescription: "A message broker in the stack's folder: RabbitMQ on this machine, supervised and without root. It has " +
			"an administrator with a generated password, and no user `guest`.\n\nRequests that wait exist nowhere else: its " +
			"data is what one backs up.",
		Attributes: serviceAttributes(ctx, map[string]schema.Attribute{
			"delivery_timeout": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(config.DurationText(rabbitmq.DefaultDeliveryTimeout)),
				MarkdownDescription: "How long a worker may hold a request before the broker takes it away and hands it to another: more " +
					"than three times the `timeout` of the workers and their `spool_patience`. The value is read back from the running node. " +
					"Default: `48h`.",
				Validators: []validator.String{durationAtLeast(time.Minute)},
			},
			"port": schema.Int64Attribute{
				Optional: true,
				MarkdownDescription: "Port of AMQP on the stack's own loopback address. britney and other tools ignore any but the " +
					"default, 5672.",
				Validators: []validator.Int64{int64validator.Between(1, 65535)},
			},
			"broker": schema.SingleNestedAttribute{
				Computed: true, Attributes: computedBroker(),
				MarkdownDescription: "The broker, as other resources take it.",
				PlanModifiers:       []planmodifier.Object{objectplanmodifier.UseStateForUnknown()},
			},
		}),
	}
}

func (m *rabbitMQServerModel) service() *serviceModel {
	if m == nil {
		return nil
	}
	return &m.serviceModel
}

func (m *rabbitMQServerModel) settings() rabbitmq.Settings {
	return rabbitmq.Settings{DeliveryTimeout: durationOf(m.DeliveryTimeout), Port: int(m.Port.ValueInt64())}
}

func (rabbitMQServerKind) plan(ctx context.Context, p *planning[rabbitMQServerModel]) {
	p.planDirectory(&p.model.serviceModel, p.state.service(), &p.config.serviceModel, p.diags)
	if p.state == nil {
		return
	}
	if !hasIncarnation(p.state.Broker) {
		p.model.Broker = p.newIncarnation(p.state.Broker, p.state.path())
		p.warnOfLoss(ctx, p.state.Broker, "the broker in "+p.state.path(),
			"The apply begins with an empty broker: users come back with the passwords in their files, queues come back empty.")
	}
	if !p.state.Port.Equal(p.model.Port) {
		p.model.Broker = types.ObjectUnknown(brokerTypes)
	}
}

func (rabbitMQServerKind) ensure(ctx context.Context, c *call[rabbitMQServerModel]) error {
	d, err := c.create(ctx, c.model.path())
	if err != nil {
		return err
	}
	// What holds data was not begun by us, whatever became of its manifest.
	begun := began(d, rabbitmq.Service) && !rabbitmq.HoldsData(d)
	info, err := rabbitmq.Apply(ctx, d, c.model.settings())
	if err != nil {
		return c.undo(ctx, d, atPort(err), begun, func(ctx context.Context) error { return rabbitmq.Withdraw(ctx, d) })
	}
	if info.Warning != "" {
		c.diags.AddAttributeWarning(path.Root("port"), "Not every client can reach the broker", info.Warning+".")
	}
	c.model.Broker = brokerObject(info)
	return nil
}

func brokerObject(info rabbitmq.Info) types.Object {
	incarnation := types.StringNull()
	if info.Incarnation != "" {
		incarnation = types.StringValue(info.Incarnation)
	}
	return object(brokerTypes, values{
		"management_url":   types.StringValue(info.ManagementURL),
		"credentials_file": types.StringValue(info.CredentialsFile),
		"host":             types.StringValue(info.Host),
		"port":             types.Int64Value(int64(info.Port)),
		"incarnation":      incarnation,
	})
}

func (rabbitMQServerKind) inspect(ctx context.Context, c *call[rabbitMQServerModel]) (finding, error) {
	d, err := c.open(c.model.path())
	if err != nil {
		return finding{}, err
	}
	if d == nil {
		c.model.Broker = withoutIncarnation(c.model.Broker)
		return absentFolder(c.model.path()), nil
	}
	info, err := rabbitmq.Inspect(ctx, d, c.model.settings())
	if err != nil {
		return finding{}, err
	}
	if !info.Present {
		c.model.Broker = withoutIncarnation(c.model.Broker)
		return absentService("broker", d.ServicePath(rabbitmq.Service)), nil
	}
	if c.model.DeliveryTimeout.IsNull() { // after an import
		c.model.DeliveryTimeout = types.StringValue(config.DurationText(info.DeliveryTimeout))
	}
	c.model.Broker = brokerObject(info)
	if info.Problem == "" {
		c.rememberBroker(ctx, info)
	}
	return finding{Problem: info.Problem}, nil
}

// rememberBroker keeps the names of users and queues for a plan that has to say what is gone.
func (c *call[M]) rememberBroker(ctx context.Context, info rabbitmq.Info) {
	client, err := c.broker(ctx, brokerModel{
		ManagementURL:   types.StringValue(info.ManagementURL),
		CredentialsFile: types.StringValue(info.CredentialsFile),
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
	return c.withdraw(ctx, c.model.path(), func(d *host.Directory) error { return rabbitmq.Withdraw(ctx, d) })
}

func (rabbitMQServerKind) imported(context.Context, *call[rabbitMQServerModel]) error {
	return nil // the Read that follows fills in the rest
}
