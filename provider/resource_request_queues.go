package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/setdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

type requestQueuesModel struct {
	baseModel
	Broker           types.Object `tfsdk:"broker"`
	Releases         types.Set    `tfsdk:"releases"`
	Architectures    types.Set    `tfsdk:"architectures"`
	Contexts         types.Set    `tfsdk:"contexts"`
	AllowMessageLoss types.Bool   `tfsdk:"allow_message_loss"`
	Names            types.Set    `tfsdk:"names"`
}

type requestQueuesKind struct{}

func newRequestQueues() resource.Resource {
	return &managed[requestQueuesModel]{kind: requestQueuesKind{}, mutableIdentity: true}
}

func (requestQueuesKind) typeName() string                           { return "request_queues" }
func (requestQueuesKind) base(m *requestQueuesModel) *baseModel      { return &m.baseModel }
func (requestQueuesKind) well() string                               { return inPlace }
func (requestQueuesKind) patience(*requestQueuesModel) time.Duration { return patienceWithBroker }

func (requestQueuesKind) identity(m *requestQueuesModel) []identityValue {
	return []identityValue{brokerIdentity(m.Broker)}
}

func (requestQueuesKind) schema(ctx context.Context) schema.Schema {
	return schema.Schema{
		MarkdownDescription: "The queues that carry requests: one for each context, release and architecture. Requesters are told " +
			"nothing when they publish to a queue that does not exist, so all of them are made before credentials are handed out.",
		Attributes: baseAttributes(ctx, inPlace, map[string]schema.Attribute{
			"broker":        brokerAttribute(),
			"releases":      releasesAttribute(),
			"architectures": architecturesAttribute(),
			"contexts":      contextsAttribute(),
			"allow_message_loss": schema.BoolAttribute{
				Optional: true, Computed: true, Default: booldefault.StaticBool(false),
				MarkdownDescription: "Whether a queue may be removed while requests stand in it, which are then lost: whoever sent " +
					"them waits for ever. Default: `false`.",
			},
			"names": schema.SetAttribute{
				Computed: true, ElementType: types.StringType, MarkdownDescription: "Names of the queues.",
			},
		}),
	}
}

func releasesAttribute() schema.Attribute {
	return schema.SetAttribute{
		Required: true, ElementType: types.StringType,
		MarkdownDescription: "Releases, each one word without a dash: the names of queues are split on dashes.",
		Validators:          []validator.Set{setvalidator.SizeAtLeast(1), setvalidator.ValueStringsAre(releaseName())},
	}
}

func architecturesAttribute() schema.Attribute {
	return schema.SetAttribute{
		Required: true, ElementType: types.StringType, MarkdownDescription: "Architectures, as Debian calls them.",
		Validators: []validator.Set{setvalidator.SizeAtLeast(1), setvalidator.ValueStringsAre(architectureName())},
	}
}

func contextsAttribute() schema.Attribute {
	return schema.SetAttribute{
		Optional: true, Computed: true, ElementType: types.StringType,
		Default: setdefault.StaticValue(stringSet(contextNames())),
		MarkdownDescription: "Kinds of requests: `normal` (the gatekeeper's), `huge` (its bulk), `ppa` (with extra archives), " +
			"`upstream` (from git). Default: all of them.",
		Validators: []validator.Set{setvalidator.SizeAtLeast(1), setvalidator.ValueStringsAre(contextWord())},
	}
}

// wantedQueues are the names that a model asks for; nil while parts of it are not known.
func wantedQueues(m *requestQueuesModel) []string {
	releases, known1 := stringsOf(m.Releases)
	architectures, known2 := stringsOf(m.Architectures)
	words, known3 := stringsOf(m.Contexts)
	if !known1 || !known2 || !known3 {
		return nil
	}
	var contexts []request.Context
	for _, word := range words {
		if c, err := contextFromName(word); err == nil {
			contexts = append(contexts, c)
		}
	}
	var names []string
	for _, queue := range queuesOf(contexts, releases, architectures) {
		names = append(names, queue.Name())
	}
	slices.Sort(names)
	return names
}

func (requestQueuesKind) plan(ctx context.Context, p *planning[requestQueuesModel]) {
	wanted := wantedQueues(p.model)
	if wanted == nil {
		p.model.Names = types.SetUnknown(types.StringType)
		return
	}
	p.model.Names = stringSet(wanted)
	if p.state == nil || p.model.AllowMessageLoss.ValueBool() {
		return
	}
	dropped := droppedQueues(p.state, wanted)
	refuseLoss(ctx, p.settings, p.state, dropped, path.Root("releases"), p.diags)
}

func (requestQueuesKind) planRemoval(ctx context.Context, c *call[requestQueuesModel]) {
	if !c.model.AllowMessageLoss.ValueBool() {
		refuseLoss(ctx, c.settings, c.model, droppedQueues(c.model, nil), path.Empty(), c.diags)
	}
}

// droppedQueues are the queues of a state that are wanted no more.
func droppedQueues(state *requestQueuesModel, wanted []string) []string {
	had, _ := stringsOf(state.Names)
	return slices.DeleteFunc(had, func(name string) bool { return slices.Contains(wanted, name) })
}

// refuseLoss adds an error when requests stand in queues that are to go. A broker that does not answer is no obstacle to a
// plan: the apply looks again.
func refuseLoss(ctx context.Context, s *settings, state *requestQueuesModel, dropped []string, where path.Path,
	diags *diag.Diagnostics) {
	b := brokerOf(ctx, state.Broker)
	client, err := s.broker(ctx, b)
	if err != nil || len(dropped) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	if err := checkEmpty(ctx, client, dropped); errors.Is(err, errMessages) {
		explain(diags, "Cannot remove request queues", at(where, err))
	}
}

// errMessages: requests stand in a queue that is to go.
var errMessages = errors.New("requests would be lost")

func checkEmpty(ctx context.Context, client *management.Client, names []string) error {
	queues, err := client.Queues(ctx)
	if err != nil {
		return err
	}
	var full []string
	for _, name := range names {
		if n := queues[name].Messages; n > 0 {
			full = append(full, fmt.Sprintf("%s (%s)", name, plural(n, "request", "requests")))
		}
	}
	if len(full) == 0 {
		return nil
	}
	return &problem{
		title: "Requests stand in " + strings.Join(full, ", "),
		detail: "Whoever sent them would wait for their results for ever. Let the workers finish them first, or say that they " +
			"may be lost with allow_message_loss = true (before a destroy, apply that).",
		err: errMessages,
	}
}

func (requestQueuesKind) ensure(ctx context.Context, c *call[requestQueuesModel]) error {
	b := brokerOf(ctx, c.model.Broker)
	client, err := c.readyBroker(ctx, b)
	if err != nil {
		return err
	}
	wanted := wantedQueues(c.model)
	queues, err := client.Queues(ctx)
	if err != nil {
		return err
	}
	loss := c.model.AllowMessageLoss.ValueBool()
	for _, name := range wanted {
		if queue, there := queues[name]; there && !queue.Plain {
			if err := removeQueue(ctx, client, name, loss); err != nil {
				return err
			}
		}
		if err := client.DeclareQueue(ctx, name); err != nil {
			return err
		}
	}
	if c.prior != nil {
		if err := removeQueues(ctx, client, droppedQueues(c.prior, wanted), loss); err != nil {
			return err
		}
	}
	c.model.Names = stringSet(wanted)
	return client.Sync(ctx)
}

// removeQueues looks at all of them before it removes the first.
func removeQueues(ctx context.Context, client *management.Client, names []string, loss bool) error {
	if !loss {
		if err := checkEmpty(ctx, client, names); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := removeQueue(ctx, client, name, loss); err != nil {
			return err
		}
	}
	return nil
}

// removeQueue removes one. That it is empty is checked twice: the count has what workers hold, the broker's own check, in
// the moment of the removal, has what came since.
func removeQueue(ctx context.Context, client *management.Client, name string, loss bool) error {
	if !loss {
		if err := checkEmpty(ctx, client, []string{name}); err != nil {
			return err
		}
	}
	err := client.DeleteQueue(ctx, name, !loss)
	if errors.Is(err, management.ErrRefused) {
		return errors.Join(errMessages, err)
	}
	return err
}

func (requestQueuesKind) inspect(ctx context.Context, c *call[requestQueuesModel]) (finding, error) {
	names, _ := stringsOf(c.model.Names)
	what := "the queues " + strings.Join(names, ", ")
	b := brokerOf(ctx, c.model.Broker)
	client, err := c.broker(ctx, b)
	if err != nil {
		return unseenBroker(err, what)
	}
	queues, err := client.Queues(ctx)
	if err != nil {
		return unseenBroker(err, what)
	}
	var missing, other []string
	for _, name := range names {
		switch queue, there := queues[name]; {
		case !there:
			missing = append(missing, name)
		case !queue.Plain:
			other = append(other, name)
		}
	}
	switch {
	case len(missing) > 0:
		return finding{Problem: "missing: " + strings.Join(missing, ", ")}, nil
	case len(other) > 0:
		return finding{Problem: "declared in a way that clients cannot use: " + strings.Join(other, ", ")}, nil
	}
	return finding{}, nil
}

func (requestQueuesKind) remove(ctx context.Context, c *call[requestQueuesModel]) error {
	names, _ := stringsOf(c.model.Names)
	b := brokerOf(ctx, c.model.Broker)
	client, err := c.broker(ctx, b)
	if err == nil {
		err = removeQueues(ctx, client, names, c.model.AllowMessageLoss.ValueBool())
	}
	_, err = leftBehind(c, err, "The queues "+strings.Join(names, ", "))
	return err
}
