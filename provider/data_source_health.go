package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

type healthModel struct {
	Broker               types.Object `tfsdk:"broker"`
	RequesterCredentials types.String `tfsdk:"requester_credentials_file"`
	RequireAMQP08        types.Bool   `tfsdk:"require_amqp_0_8"`
	Store                types.Object `tfsdk:"store"`
	WebURL               types.String `tfsdk:"web_url"`
	Healthy              types.Bool   `tfsdk:"healthy"`
	Problems             types.List   `tfsdk:"problems"`
	Checks               types.List   `tfsdk:"checks"`
}

var checkTypes = map[string]attr.Type{
	"name":   types.StringType,
	"ok":     types.BoolType,
	"detail": types.StringType,
}

type healthSource struct{ settings *settings }

func newHealth() datasource.DataSource { return &healthSource{} }

// Metadata implements datasource.DataSource.
func (*healthSource) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = typeName + "_health"
}

// Configure implements datasource.DataSourceWithConfigure.
func (d *healthSource) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.settings = configured(req.ProviderData, &resp.Diagnostics)
}

// Schema implements datasource.DataSource.
func (*healthSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Whether a test cloud works, seen from outside. It looks at what it is given:\n\n" +
			"- `broker`: its management API answers the administrator, and the virtual host is there.\n" +
			"- `requester_credentials_file`: the self-test. A message is published with exactly these credentials, in britney's own " +
			"dialect (AMQP 0-8, AMQPLAIN), and arrives in a queue that is made for it and removed afterwards; to read, to declare " +
			"and to purge are refused.\n" +
			"- `store`: it lets the account in, and lists its containers.\n" +
			"- `web_url`: the website says that it is ready.\n\n" +
			"What is wrong is in `problems` and never an error by itself. Make it one with a postcondition, so that every plan and " +
			"apply ends with the look, as below. With `depends_on`, a plan that changes one of these resources leaves the look to the " +
			"apply: the first plan, and one that repairs, are not stopped by what is not there yet.",
		Attributes: map[string]schema.Attribute{
			"broker": brokerToLookAt(false),
			"requester_credentials_file": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Credentials file of a broker user with the role `requester`.",
				Validators: []validator.String{
					fileName(), stringvalidator.AlsoRequires(path.MatchRoot("broker")),
				},
			},
			"require_amqp_0_8": schema.BoolAttribute{
				Optional: true,
				MarkdownDescription: "Whether it is a problem when the broker does not speak AMQP 0-8, which britney needs: " +
					"RabbitMQ 4 and later. The self-test then speaks AMQP 0-9-1. Default: `true`.",
			},
			"store": storeToLookAt(),
			"web_url": schema.StringAttribute{
				Optional: true, MarkdownDescription: "Address of the website.", Validators: []validator.String{webURL()},
			},
			"healthy": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether all that was looked at works."},
			"problems": schema.ListAttribute{
				Computed: true, ElementType: types.StringType, MarkdownDescription: "What does not, in sentences.",
			},
			"checks": schema.ListNestedAttribute{
				Computed: true, MarkdownDescription: "What was looked at.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"name":   schema.StringAttribute{Computed: true, MarkdownDescription: "`broker`, `requester`, `store` or `web`."},
					"ok":     schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether it works."},
					"detail": schema.StringAttribute{Computed: true, MarkdownDescription: "What was seen."},
				}},
			},
		},
	}
}

// Read implements datasource.DataSource.
func (d *healthSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model healthModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	problems, checks := []attr.Value{}, []attr.Value{}
	look := func(name string, limit time.Duration, f func(context.Context) (string, error)) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		detail, err := f(ctx)
		if err != nil {
			detail = err.Error()
			problems = append(problems, types.StringValue(name+": "+detail))
		}
		checks = append(checks, object(checkTypes, values{
			"name": types.StringValue(name), "ok": types.BoolValue(err == nil), "detail": types.StringValue(detail),
		}))
	}
	if !model.Broker.IsNull() {
		b := brokerOf(ctx, model.Broker)
		look("broker", lookLimit, func(ctx context.Context) (string, error) { return d.brokerWorks(ctx, b) })
		if !model.RequesterCredentials.IsNull() {
			look("requester", lookLimit, func(ctx context.Context) (string, error) {
				required := model.RequireAMQP08.IsNull() || model.RequireAMQP08.ValueBool()
				return d.requesterWorks(ctx, b, model.RequesterCredentials.ValueString(), required)
			})
		}
	}
	if !model.Store.IsNull() {
		look("store", lookLimit, func(ctx context.Context) (string, error) { return d.storeWorks(ctx, storeOf(ctx, model.Store)) })
	}
	if !model.WebURL.IsNull() {
		patience := reconnecting
		if len(problems) > 0 { // what it cannot go back to
			patience = 0
		}
		look("web", patience+lookLimit, func(ctx context.Context) (string, error) {
			return webWorks(ctx, model.WebURL.ValueString(), patience)
		})
	}
	model.Healthy = types.BoolValue(len(problems) == 0)
	model.Problems = types.ListValueMust(types.StringType, problems)
	model.Checks = types.ListValueMust(types.ObjectType{AttrTypes: checkTypes}, checks)
	resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
}

func (d *healthSource) brokerWorks(ctx context.Context, b brokerModel) (string, error) {
	client, err := d.settings.broker(ctx, b)
	if err != nil {
		return "", err
	}
	version, err := client.Version(ctx)
	if err != nil {
		return "", err
	}
	queues, err := client.Queues(ctx)
	return fmt.Sprintf("RabbitMQ %s answers, with %s", version, plural(len(queues), "queue", "queues")), err
}

func (d *healthSource) requesterWorks(ctx context.Context, b brokerModel, file string, requireAMQP08 bool) (string, error) {
	client, err := d.settings.broker(ctx, b)
	if err != nil {
		return "", err
	}
	account, err := d.settings.readBroker(ctx, file)
	if err != nil {
		return "", err
	}
	dialect, err := client.ProveRequester(ctx, account)
	switch {
	case err != nil:
		return "", err
	case dialect != management.DialectGatekeeper && requireAMQP08:
		return "", errors.New("the broker does not speak " + management.DialectGatekeeper + ", so britney cannot request tests; all " +
			"other clients can: use RabbitMQ 3.x, or accept this with require_amqp_0_8 = false")
	}
	return fmt.Sprintf("%q may publish and nothing else, seen over %s", account.Username, dialect), nil
}

func (d *healthSource) storeWorks(ctx context.Context, s storeModel) (string, error) {
	client, _, err := d.settings.storeClient(ctx, s)
	if err != nil {
		return "", err
	}
	containers, err := client.Containers(ctx)
	return fmt.Sprintf("the store answers, with %s", plural(len(containers), "container", "containers")), err
}

// reconnecting is how long a website may take to go back to a broker or a store that has just been repaired.
const reconnecting = 45 * time.Second

// webWorks waits for a website that runs and is not ready yet.
func webWorks(ctx context.Context, address string, patience time.Duration) (string, error) {
	for deadline := time.Now().Add(patience); ; {
		body, err := askHealth(ctx, strings.TrimSuffix(address, "/")+"/readyz")
		reasons := notReady(body)
		switch {
		case err == nil || reasons == "":
			return "the website is ready", err
		case time.Now().After(deadline):
			return "", fmt.Errorf("the website is not ready: %s", reasons)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}
