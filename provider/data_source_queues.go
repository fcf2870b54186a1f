package provider

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

type queuesModel struct {
	Broker  types.Object `tfsdk:"broker"`
	Ready   types.Int64  `tfsdk:"ready"`
	Running types.Int64  `tfsdk:"running"`
	Queues  types.List   `tfsdk:"queues"`
}

var queueTypes = map[string]attr.Type{
	"name":         types.StringType,
	"context":      types.StringType,
	"release":      types.StringType,
	"architecture": types.StringType,
	"ready":        types.Int64Type,
	"running":      types.Int64Type,
	"consumers":    types.Int64Type,
	"oldest_at":    types.StringType,
	"oldest_age":   types.Int64Type,
	"empty_at":     types.StringType,
}

type queuesSource struct{ settings *settings }

func newQueues() datasource.DataSource { return &queuesSource{} }

// Metadata implements datasource.DataSource.
func (*queuesSource) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = typeName + "_queues"
}

// Configure implements datasource.DataSourceWithConfigure.
func (d *queuesSource) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.settings = configured(req.ProviderData, &resp.Diagnostics)
}

// Schema implements datasource.DataSource.
func (*queuesSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	number := func(text string) schema.Attribute {
		return schema.Int64Attribute{Computed: true, MarkdownDescription: text}
	}
	text := func(text string) schema.Attribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: text}
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "What stands in the request queues, without touching a message. What the broker does not know is null: " +
			"nothing is estimated.\n\n" +
			"A broker that does not answer is a warning, and then everything here is null, so that a plan that repairs it can be made.",
		Attributes: map[string]schema.Attribute{
			"broker":  brokerToLookAt(true),
			"ready":   number("Requests that wait, in all queues."),
			"running": number("Requests that run, in all queues: delivered to a worker and not acknowledged."),
			"queues": schema.ListNestedAttribute{
				Computed: true, MarkdownDescription: "The request queues, by release, architecture and context.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"name":         text("Name of the queue."),
					"context":      text("Kind of requests: `normal`, `huge`, `ppa` or `upstream`."),
					"release":      text("Release."),
					"architecture": text("Architecture."),
					"ready":        number("Requests that wait. Exact at the time of the look."),
					"running":      number("Requests that run: delivered to a worker and not acknowledged. Exact as well."),
					"consumers": number("Who would be given the next request at once, by the broker's statistics, which are up to five " +
						"seconds old. A worker of ours that is busy is none of them."),
					"oldest_at": text("A time at which the oldest request was there already, in RFC 3339: the one that its sender " +
						"wrote into it, as `autopkgtest-cloud request` does. Null when the broker does not know it: britney writes none, " +
						"and of messages that are not in memory the broker does not tell it. The oldest may be older, never younger."),
					"oldest_age": number("The same as an age in seconds."),
					"empty_at": text("When the queue was empty for the last time, in RFC 3339, by the broker's statistics, of which one " +
						"sample for every five minutes of the last hour is looked at, up to five seconds late: everything in the queue " +
						"is younger. Null when there is nothing in it, when no sample has it empty, and when the broker was started " +
						"meanwhile or has lost its statistics."),
				}},
			},
		},
	}
}

// Read implements datasource.DataSource.
func (d *queuesSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model queuesModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	loads, err := d.loads(ctx, brokerOf(ctx, model.Broker))
	if err == nil {
		model.fill(loads, time.Now())
	} else {
		model.Ready, model.Running = types.Int64Null(), types.Int64Null()
		model.Queues = types.ListNull(types.ObjectType{AttrTypes: queueTypes})
		found, other := unseenBroker(err, "the queues")
		if other != nil {
			explain(&resp.Diagnostics, "Could not look at the queues", withoutVHost(err))
			return
		}
		resp.Diagnostics.AddWarning("The queues could not be looked at", cmp.Or(found.Unseen, found.Problem))
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
}

func (d *queuesSource) loads(ctx context.Context, b brokerModel) (map[string]management.QueueLoad, error) {
	client, err := d.settings.broker(ctx, b)
	if err != nil {
		return nil, err
	}
	return client.QueueLoads(ctx)
}

// fill puts the request queues among the loads into the model.
func (m *queuesModel) fill(loads map[string]management.QueueLoad, now time.Time) {
	var queues []request.Queue
	for name := range loads {
		if q, err := request.ParseQueue(name); err == nil {
			queues = append(queues, q)
		}
	}
	slices.SortFunc(queues, func(a, b request.Queue) int {
		return cmp.Or(cmp.Compare(a.Release, b.Release), cmp.Compare(a.Architecture, b.Architecture),
			cmp.Compare(slices.Index(request.Contexts, a.Context), slices.Index(request.Contexts, b.Context)))
	})
	ready, running := 0, 0
	elements := []attr.Value{}
	for _, q := range queues {
		load := loads[q.Name()]
		ready += load.Messages - load.Running
		running += load.Running
		oldest := types.Int64Null()
		if !load.Oldest.IsZero() {
			oldest = types.Int64Value(max(0, int64(now.Sub(load.Oldest)/time.Second)))
		}
		elements = append(elements, object(queueTypes, values{
			"name": types.StringValue(q.Name()), "context": types.StringValue(contextName(q.Context)),
			"release": types.StringValue(q.Release), "architecture": types.StringValue(q.Architecture),
			"ready": types.Int64Value(int64(load.Messages - load.Running)), "running": types.Int64Value(int64(load.Running)),
			"consumers": types.Int64Value(int64(load.Consumers)),
			"oldest_at": timeOrNull(load.Oldest), "oldest_age": oldest, "empty_at": timeOrNull(load.Empty),
		}))
	}
	m.Ready, m.Running = types.Int64Value(int64(ready)), types.Int64Value(int64(running))
	m.Queues = types.ListValueMust(types.ObjectType{AttrTypes: queueTypes}, elements)
}

func timeOrNull(t time.Time) types.String {
	if t.IsZero() {
		return types.StringNull()
	}
	return types.StringValue(t.UTC().Format(time.RFC3339))
}
