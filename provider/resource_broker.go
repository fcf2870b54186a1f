package provider

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// guest is the user with which every new broker begins, and whose password everybody knows.
const guest = "guest"

// firstWithoutAMQP08 is the first major version of RabbitMQ that does not speak AMQP 0-8.
const firstWithoutAMQP08 = 4

// patienceWithBroker covers a broker that is still recovering its queues.
const patienceWithBroker = 2 * time.Minute

type brokerResourceModel struct {
	baseModel
	Broker        types.Object `tfsdk:"broker"`
	RequireAMQP08 types.Bool   `tfsdk:"require_amqp_0_8"`
}

type brokerKind struct{}

func newBroker() resource.Resource {
	return &managed[brokerResourceModel]{kind: brokerKind{}, mutableIdentity: true}
}

func (brokerKind) typeName() string                                        { return "broker" }
func (brokerKind) base(m *brokerResourceModel) *baseModel                  { return &m.baseModel }
func (brokerKind) well() string                                            { return inPlace }
func (brokerKind) patience(*brokerResourceModel) time.Duration             { return patienceWithBroker }
func (brokerKind) plan(context.Context, *planning[brokerResourceModel])    {}
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
	return schema.Schema{
		MarkdownDescription: "Makes a broker fit for a test cloud, whoever installed it:\n\n" +
			"- The user `guest` is gone.\n" +
			"- The exchanges for status and completion messages are there, declared as all clients declare them.\n" +
			"- The exchanges `autopkgtest.control` and `autopkgtest.answers` are there, through which operators command workers " +
			"(`autopkgtest-cloud cancel` and `requeue`).\n" +
			"- Requests that can never be run are kept: workers send them to the exchange `autopkgtest.rejected`, and the queue " +
			"`rejected-requests` is bound to it. Each has the reason, its queue, the worker and the time in the headers " +
			"`x-reason`, `x-queue`, `x-worker` and `x-time`. No role may read that queue; an administrator can, with the broker's " +
			"management page. A destroy leaves it behind if something is in it.",
		Attributes: baseAttributes(ctx, inPlace, map[string]schema.Attribute{
			"broker": brokerAttribute(),
			"require_amqp_0_8": schema.BoolAttribute{
				Optional: true, Computed: true, Default: booldefault.StaticBool(true),
				MarkdownDescription: "Refuse a broker that does not speak AMQP 0-8, which britney needs: RabbitMQ 4 and later. " +
					"Default: `true`.",
			},
		}),
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
	if client.Username() == guest {
		return at(path.Root("broker").AtName("credentials_file"), &problem{
			title: "guest cannot remove itself",
			detail: "Make an administrator of another name in the broker, and put its credentials into " +
				b.CredentialsFile.ValueString() + ".",
		})
	}
	for _, exchange := range management.Fanouts {
		if err := ensureExchange(ctx, client, exchange); err != nil {
			return err
		}
	}
	if err := ensureRejected(ctx, client); err != nil {
		return err
	}
	// Last, when every call above has proven that our own administrator does not need it.
	if err := client.DeleteUser(ctx, guest); err != nil {
		return err
	}
	return client.Sync(ctx)
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

func checkProtocol(ctx context.Context, client *management.Client, required bool) error {
	if !required {
		return nil
	}
	version, err := client.Version(ctx)
	if err != nil {
		return err
	}
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	if err == nil && n >= firstWithoutAMQP08 {
		return withoutAMQP08(version)
	}
	return nil
}

func withoutAMQP08(version string) error {
	return at(path.Root("require_amqp_0_8"), &problem{
		title: fmt.Sprintf("RabbitMQ %s does not speak AMQP 0-8", version),
		detail: "britney cannot request tests from it; all other clients work. Use RabbitMQ 3.x, or accept this with " +
			"require_amqp_0_8 = false.",
	})
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
	switch _, err := client.User(ctx, guest); {
	case err == nil:
		return finding{Problem: "the user guest is there"}, nil
	case !errors.Is(err, management.ErrNotFound):
		return finding{}, err
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
	_, err = leftBehind(c, err, "The exchanges")
	return err
}
