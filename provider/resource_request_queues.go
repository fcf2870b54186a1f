package provider

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
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
	DrainTimeout     types.String `tfsdk:"drain_timeout"`
	Names            types.Set    `tfsdk:"names"`
}

type requestQueuesKind struct{}

func newRequestQueues() resource.Resource {
	return &managed[requestQueuesModel]{kind: requestQueuesKind{}, mutableIdentity: true}
}

func (requestQueuesKind) typeName() string                      { return "request_queues" }
func (requestQueuesKind) base(m *requestQueuesModel) *baseModel { return &m.baseModel }
func (requestQueuesKind) well() string                          { return inPlace }

func (requestQueuesKind) patience(m *requestQueuesModel) time.Duration {
	return patienceWithBroker + drainOf(m).limit
}

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
				MarkdownDescription: "Whether a queue may be removed at once while requests stand in it, which are then lost: whoever " +
					"sent them waits for ever. Default: `false`.",
			},
			"drain_timeout": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "How long an apply waits for the workers to finish the requests in queues that are to go, for " +
					"example `2h`. It fails when some are left, having removed nothing; and before the time is over when none is " +
					"running and nobody takes any. `0s` refuses them in the plan. Default: `10m` for a release, architecture or " +
					"context that is taken out; without this attribute, a destroy with requests in the queues is refused in the plan, " +
					"since it commonly takes away the workers first.",
				Validators: []validator.String{durationAtLeast(0)},
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
	r := retiring{drain: drainOf(p.model), where: path.Root("releases")}
	if p.state != nil {
		r.names = droppedQueues(p.state, wanted)
	}
	// When all was well a moment ago, no queue has to be made anew, and there is nothing to ask.
	if p.state == nil || p.state.Status.ValueString() != inPlace {
		r.wanted = wanted
	}
	r.plan(ctx, p.settings, p.model, p.diags)
}

func (requestQueuesKind) planRemoval(ctx context.Context, c *call[requestQueuesModel]) {
	r := retiring{names: droppedQueues(c.model, nil), drain: drainOf(c.model)}
	if c.model.DrainTimeout.IsNull() {
		r.drain.limit = 0
	}
	r.plan(ctx, c.settings, c.model, c.diags)
}

// droppedQueues are the queues of a state that are wanted no more.
func droppedQueues(state *requestQueuesModel, wanted []string) []string {
	had, _ := stringsOf(state.Names)
	return slices.DeleteFunc(had, func(name string) bool { return slices.Contains(wanted, name) })
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
		return withoutVHost(err)
	}
	var missing, other, dropped []string
	for _, name := range wanted {
		switch queue, there := queues[name]; {
		case !there:
			missing = append(missing, name)
		case !queue.Plain:
			other = append(other, name)
		}
	}
	if c.prior != nil {
		dropped = droppedQueues(c.prior, wanted)
	}
	// What is new comes first: it does not have to wait for what goes.
	if err := client.DeclareQueues(ctx, missing); err != nil {
		return withoutVHost(err)
	}
	if err := drainOf(c.model).remove(ctx, client, slices.Concat(other, dropped)); err != nil {
		return withoutVHost(err)
	}
	if err := client.DeclareQueues(ctx, other); err != nil {
		return withoutVHost(err)
	}
	c.model.Names = stringSet(wanted)
	return client.Sync(ctx)
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
	if errors.Is(err, management.ErrNoVHost) {
		return finding{Problem: management.ErrNoVHost.Error() + ", and with it went the queues"}, nil
	}
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
		err = drainOf(c.model).remove(ctx, client, names)
	}
	if errors.Is(err, management.ErrNoVHost) {
		return nil // the queues went with it
	}
	_, err = leftBehind(c, err, "The queues "+strings.Join(names, ", "))
	return err
}
