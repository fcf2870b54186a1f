package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/setdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// guest is the user with which every new broker begins, and whose password everybody knows.
const guest = "guest"

// patienceWithBroker covers a broker that is still recovering its queues.
const patienceWithBroker = 2 * time.Minute

type brokerResourceModel struct {
	baseModel
	Broker         types.Object `tfsdk:"broker"`
	RequireAMQP08  types.Bool   `tfsdk:"require_amqp_0_8"`
	AbsentUsers    types.Set    `tfsdk:"absent_users"`
	ListenerLimit  types.String `tfsdk:"listener_limit"`
	RejectedLimit  types.String `tfsdk:"rejected_limit"`
	Mirrors        types.String `tfsdk:"mirrors"`
	MaxConnections types.Int64  `tfsdk:"max_connections"`
	MaxQueues      types.Int64  `tfsdk:"max_queues"`
}

type brokerKind struct{}

func newBroker() resource.Resource {
	return &managed[brokerResourceModel]{kind: brokerKind{}, mutableIdentity: true}
}

func (brokerKind) typeName() string                                        { return "broker" }
func (brokerKind) base(m *brokerResourceModel) *baseModel                  { return &m.baseModel }
func (brokerKind) well() string                                            { return inPlace }
func (brokerKind) patience(*brokerResourceModel) time.Duration             { return patienceWithBroker }
func (brokerKind) planRemoval(context.Context, *call[brokerResourceModel]) {}

func (brokerKind) identity(m *brokerResourceModel) []identityValue {
	return []identityValue{brokerIdentity(m.Broker)}
}

// brokerIdentity is the part of an identity that names the broker.
func brokerIdentity(object types.Object) identityValue {
	value := types.StringNull()
	if url, ok := object.Attributes()["management_url"].(types.String); ok {
		value = url
	}
	return identityValue{name: "management_url", description: "Address of the broker's management API.", value: value}
}

func (brokerKind) schema(ctx context.Context) schema.Schema {
	attributes := map[string]schema.Attribute{
		"broker": brokerAttribute(),
		"require_amqp_0_8": schema.BoolAttribute{
			Optional: true, Computed: true, Default: booldefault.StaticBool(true),
			MarkdownDescription: "Refuse a broker that does not speak AMQP 0-8, which britney needs: RabbitMQ 4. Known are 3.8 to 3.13 " +
				"(the tests run 3.10) and 4; others are refused in any case. Default: `true`.",
		},
		"absent_users": schema.SetAttribute{
			Optional: true, Computed: true, ElementType: types.StringType, Default: setdefault.StaticValue(stringSet([]string{guest})),
			MarkdownDescription: "Users that a broker begins with and that must not be there: removed once the user of the credentials " +
				"file has proven to be an administrator, who stays. Their connections are closed. Default: `[\"guest\"]`.",
			Validators: []validator.Set{setvalidator.ValueStringsAre(stringvalidator.LengthBetween(1, 255))},
		},
	}
	maps.Copy(attributes, brokerLimitAttributes())
	return schema.Schema{
		MarkdownDescription: "Makes a broker fit for a test cloud, whoever installed it. What of this somebody changes later is shown " +
			"by a plan, as a sentence, and put back by the apply:\n\n" +
			"- The virtual host `/`, which all clients use, is there, and the administrator may use all of it. One that is gone, with " +
			"all its queues and messages, is made again, empty.\n" +
			"- The user `guest` is gone (`absent_users`).\n" +
			"- Queues that nobody reads are bounded (`listener_limit`, `rejected_limit`), and connections and queues if you like.\n" +
			"- Requests are kept on several nodes of a cluster if you like (`mirrors`).\n" +
			"- The exchanges for status and completion messages are there, declared as all clients declare them.\n" +
			"- The exchanges `autopkgtest.control` and `autopkgtest.answers` are there, through which operators command workers " +
			"(`autopkgtest-cloud cancel` and `requeue`).\n" +
			"- Requests that can never be run are kept: workers send them to the exchange `autopkgtest.rejected`, and the queue " +
			"`rejected-requests` is bound to it. Each has the reason, its queue, the worker and the time in the headers " +
			"`x-reason`, `x-queue`, `x-worker` and `x-time`. No role may read that queue; an administrator can, with the broker's " +
			"management page. A destroy leaves it behind if something is in it.\n\n" +
			"Everything else in the broker stays as it is.",
		Attributes: baseAttributes(ctx, inPlace, attributes),
	}
}

func (brokerKind) ensure(ctx context.Context, c *call[brokerResourceModel]) error {
	b := brokerOf(ctx, c.model.Broker)
	client, err := c.readyBroker(ctx, b)
	if err != nil {
		return err
	}
	if err := checkProtocol(ctx, client, c.model.RequireAMQP08.ValueBool()); err != nil {
		return err
	}
	if err := checkMirrors(ctx, c.model, client); err != nil {
		return err
	}
	if err := notOurselves(c.model.AbsentUsers, client.Username(), b); err != nil {
		return err
	}
	// Nothing is changed by somebody who could not finish it.
	if err := client.Prove(ctx); err != nil {
		return unfit(err)
	}
	if err := ensureBroker(ctx, c, client); err != nil {
		return err
	}
	// Last, when every call above has proven that our own administrator does not need them.
	absent, _ := stringsOf(c.model.AbsentUsers)
	for _, name := range absent {
		if err := client.RemoveUser(ctx, name); err != nil {
			return err
		}
	}
	if err := warnOfFewNodes(ctx, c, client); err != nil {
		return err
	}
	return client.Sync(ctx)
}

func ensureBroker(ctx context.Context, c *call[brokerResourceModel], client *management.Client) error {
	if err := client.MakeVHost(ctx); err != nil {
		return err
	}
	if err := client.EnsureOwnRights(ctx); err != nil {
		return err
	}
	for _, exchange := range management.Fanouts {
		if err := ensureExchange(ctx, client, exchange); err != nil {
			return err
		}
	}
	if err := ensureBrokerLimits(ctx, c, client); err != nil {
		return err
	}
	return ensureRejected(ctx, client)
}

// ensureExchange declares an exchange. One with other settings is in the way of all clients, so it is replaced: messages
// in an exchange are on their way, none is kept there.
func ensureExchange(ctx context.Context, client *management.Client, exchange management.Exchange) error {
	right, err := client.ExchangeIs(ctx, exchange)
	switch {
	case err == nil && right:
		return nil
	case err == nil:
		if err := client.DeleteExchange(ctx, exchange.Name); err != nil {
			return err
		}
	case !errors.Is(err, management.ErrNotFound):
		return err
	}
	return client.DeclareExchange(ctx, exchange)
}

func (brokerKind) inspect(ctx context.Context, c *call[brokerResourceModel]) (finding, error) {
	found, err := inspectBroker(ctx, c)
	if err != nil {
		return unseenBroker(err, "its exchanges")
	}
	return found, nil
}

func inspectBroker(ctx context.Context, c *call[brokerResourceModel]) (finding, error) {
	b := brokerOf(ctx, c.model.Broker)
	client, err := c.broker(ctx, b)
	if err != nil {
		return finding{}, err
	}
	there, err := client.HasVHost(ctx)
	if err != nil {
		return finding{}, err
	}
	if !there {
		return finding{Problem: "the virtual host " + management.VHost + " is missing, and with it all queues and messages; an apply " +
			"makes " +
			"it again, empty"}, nil
	}
	mine, err := client.HasOwnRights(ctx)
	if err != nil {
		return finding{}, err
	}
	if !mine {
		return finding{Problem: fmt.Sprintf("the administrator %s may not use all of the virtual host %s", client.Username(),
			management.VHost)}, nil
	}
	for _, exchange := range management.Fanouts {
		right, err := client.ExchangeIs(ctx, exchange)
		switch {
		case errors.Is(err, management.ErrNotFound) && !exchange.Durable:
			continue // it does not outlive a restart of the broker, and each of its clients declares it
		case errors.Is(err, management.ErrNotFound):
			return finding{Problem: "the exchange " + exchange.Name + " is missing"}, nil
		case err != nil:
			return finding{}, err
		case !right:
			return finding{Problem: "the exchange " + exchange.Name + " has other settings than its clients declare"}, nil
		}
	}
	if problem, err := rejectedProblem(ctx, client); err != nil || problem != "" {
		return finding{Problem: problem}, err
	}
	if problem, err := brokerLimitsProblem(ctx, c.model, client); err != nil || problem != "" {
		return finding{Problem: problem}, err
	}
	users, err := client.Users(ctx)
	if err != nil {
		return finding{}, err
	}
	absent, _ := stringsOf(c.model.AbsentUsers)
	for _, name := range absent {
		if slices.Contains(users, name) {
			return finding{Problem: "the user " + name + " is there"}, nil
		}
	}
	return finding{}, nil
}

func (brokerKind) remove(ctx context.Context, c *call[brokerResourceModel]) error {
	b := brokerOf(ctx, c.model.Broker)
	client, err := c.broker(ctx, b)
	for _, exchange := range management.Fanouts {
		if err == nil {
			err = client.DeleteExchange(ctx, exchange.Name)
		}
	}
	if err == nil {
		err = removeRejected(ctx, c, client)
	}
	if err == nil {
		err = removeBrokerLimits(ctx, c.model, client)
	}
	_, err = leftBehind(c, err, "The exchanges")
	return err
}
