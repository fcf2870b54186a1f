package provider

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/run"
)

// defaultDrain is what an update or a removal waits for running tests. Those that take longer are run again elsewhere.
const defaultDrain = 10 * time.Minute

type workerModel struct {
	serviceModel
	Binary            types.String `tfsdk:"binary"`
	BrokerCredentials types.String `tfsdk:"broker_credentials_file"`
	StoreCredentials  types.String `tfsdk:"store_credentials_file"`
	Images            types.Set    `tfsdk:"images"`
	Releases          types.Set    `tfsdk:"releases"`
	Architectures     types.Set    `tfsdk:"architectures"`
	Contexts          types.Set    `tfsdk:"contexts"`
	Slots             types.Int64  `tfsdk:"slots"`
	Timeout           types.String `tfsdk:"timeout"`
	DrainTimeout      types.String `tfsdk:"drain_timeout"`
	SpoolPatience     types.String `tfsdk:"spool_patience"`
	DeliveryTimeout   types.String `tfsdk:"delivery_timeout"`
	WorkerConf        types.String `tfsdk:"worker_conf"`
	RCFiles           types.List   `tfsdk:"rc_files"`
	KeyFile           types.String `tfsdk:"key_file"`
	KeyName           types.String `tfsdk:"key_name"`
}

type workerKind struct{}

func newWorker() resource.Resource { return &managed[workerModel]{kind: workerKind{}} }

func (workerKind) typeName() string                                { return "worker" }
func (workerKind) base(m *workerModel) *baseModel                  { return &m.baseModel }
func (workerKind) identity(m *workerModel) []identityValue         { return m.serviceIdentity() }
func (workerKind) well() string                                    { return running }
func (workerKind) planRemoval(context.Context, *call[workerModel]) {}

func (workerKind) patience(m *workerModel) time.Duration {
	return m.patience(durationOf(m.DrainTimeout) + stopMargin + 3*time.Minute)
}

func (workerKind) schema(ctx context.Context) schema.Schema {
	return schema.Schema{
		MarkdownDescription: "A worker: it takes requests from the broker, runs the packages' tests in throw-away testbeds, and " +
			"puts the results into the store.\n\nNothing in its folder is precious. An update that has to restart it lets " +
			"running tests finish first; what does not finish in time goes back into its queue.",
		Attributes: serviceAttributes(ctx, map[string]schema.Attribute{
			"binary": binaryAttribute(workerName),
			"broker_credentials_file": schema.StringAttribute{
				Required: true, Validators: []validator.String{fileName()},
				MarkdownDescription: "Credentials of a broker user with the role `worker`.",
			},
			"store_credentials_file": schema.StringAttribute{
				Required: true, Validators: []validator.String{fileName()},
				MarkdownDescription: "Credentials of the result store.",
			},
			"images": schema.SetAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Paths of the testbed images, as `autopkgtest_testbed_image` makes them; all in one folder. " +
					"They are opened anew for each test. Not needed where `worker_conf` names a backend without them, as `nova` is.",
				Validators: []validator.Set{
					setvalidator.SizeAtLeast(1), setvalidator.ValueStringsAre(absolutePath()),
					setvalidator.AtLeastOneOf(path.MatchRoot("images"), path.MatchRoot("worker_conf")),
				},
			},
			"worker_conf": schema.StringAttribute{
				Optional: true, Validators: []validator.String{fileName()},
				MarkdownDescription: "An operator's `worker.conf`, in any of its forms: an absolute path, or " +
					"`ssh://USER@HOST:PORT/PATH`. The worker gets what it says of testbeds, lists, set-up commands, limits and " +
					"networks. What the attributes here say, and the accounts in the credentials files, has to be empty in it or " +
					"the same; otherwise the plan fails, with the line.",
			},
			"rc_files": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "RC files of the clouds in which the backend `nova` makes testbeds, one for each region: " +
					"absolute paths, or `ssh://USER@HOST:PORT/PATH`, mode 0600. The worker gets copies.",
				Validators: []validator.List{
					listvalidator.SizeAtLeast(1), listvalidator.UniqueValues(), listvalidator.ValueStringsAre(fileName()),
					listvalidator.AlsoRequires(path.MatchRoot("worker_conf")),
				},
			},
			"key_file": schema.StringAttribute{
				Optional:   true,
				Validators: []validator.String{fileName(), stringvalidator.AlsoRequires(path.MatchRoot("worker_conf"))},
				MarkdownDescription: "Private key by which the worker logs in to testbeds of the backend `nova`, mode 0600, as " +
					"`autopkgtest_keypair` makes one. The worker gets a copy.",
			},
			"key_name": schema.StringAttribute{
				Optional: true,
				Validators: []validator.String{
					keyPairName(), stringvalidator.AlsoRequires(path.MatchRoot("worker_conf"), path.MatchRoot("key_file")),
				},
				MarkdownDescription: "Key pair that testbeds of the backend `nova` are made with, as `autopkgtest_keypair` has it in " +
					"each region: the one with the public half of `key_file`. An option `--keyname` in `worker_conf` has to name the " +
					"same, and is added where there is none.",
			},
			"releases":      releasesAttribute(),
			"architectures": architecturesAttribute(),
			"contexts":      contextsAttribute(),
			"slots": schema.Int64Attribute{
				Optional: true, Computed: true, Default: int64default.StaticInt64(1),
				MarkdownDescription: "How many tests run at a time. Default: 1.",
				Validators:          []validator.Int64{int64validator.Between(1, 1000)},
			},
			"timeout": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(config.DurationText(config.DefaultTimeout)),
				MarkdownDescription: "The longest that the tests of one package may run. Default: `" +
					config.DurationText(config.DefaultTimeout) + "`.",
				Validators: []validator.String{durationAtLeast(time.Minute)},
			},
			"drain_timeout": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(config.DurationText(defaultDrain)),
				MarkdownDescription: "How long a stop waits for running tests. Those that take longer are ended, and their requests go " +
					"back into the queue. Default: `" + config.DurationText(defaultDrain) + "`.",
				Validators: []validator.String{durationAtLeast(time.Second)},
			},
			"spool_patience": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(config.DurationText(config.DefaultSpoolPatience)),
				MarkdownDescription: "How long the store may be away before the broker may hand the request of a finished result, which " +
					"waits in the worker's spool, to another worker. The result itself waits as long as it must. Default: `" +
					config.DurationText(config.DefaultSpoolPatience) + "`.",
				Validators: []validator.String{durationAtLeast(time.Second)},
			},
			"delivery_timeout": schema.StringAttribute{
				Optional: true, Validators: []validator.String{durationAtLeast(time.Minute)},
				MarkdownDescription: "The broker's delivery timeout, as `autopkgtest_rabbitmq_server` has it. Neither a plan nor the " +
					"worker accepts one that is shorter than a request may be held, which is three times the `timeout`, the pauses " +
					"between these attempts (15 minutes) and the `spool_patience`: the broker would hand the request of a running test " +
					"to another worker. Without it nothing is compared, and the plan and the worker's log warn of it.",
			},
		}),
	}
}

func (m *workerModel) service() *serviceModel {
	if m == nil {
		return nil
	}
	return &m.serviceModel
}

func (m *workerModel) givens() []given {
	all := []given{
		{attribute: "broker_credentials_file", name: m.BrokerCredentials, copyName: "etc/broker", broker: true},
		{attribute: "store_credentials_file", name: m.StoreCredentials, copyName: "etc/store"},
		{attribute: "key_file", name: m.KeyFile, copyName: "etc/testbed-key", personal: true},
	}
	files, _ := listOf(m.RCFiles)
	for i, file := range files {
		all = append(all, given{
			attribute: rcFileAttribute(i), name: types.StringValue(file), copyName: fmt.Sprintf("etc/rc-%d", i), personal: true,
		})
	}
	return all
}

func (workerKind) plan(ctx context.Context, p *planning[workerModel]) {
	p.planDirectory(&p.model.serviceModel, p.state.service(), &p.config.serviceModel, p.diags)
	p.warnOfMove(p.state.service(), &p.model.serviceModel, "finished results in the worker's spool")
	p.planBinary(&p.model.serviceModel, &p.model.Binary, workerName, p.diags)
	planDeliveryTimeout(p)
	images, known := stringsOf(p.model.Images)
	if _, err := imageFolder(images); known && err != nil {
		p.diags.AddAttributeError(path.Root("images"), "The images are in different folders", err.Error())
	}
	planWorkerConf(ctx, p)
}

// planDeliveryTimeout refuses what the worker itself refuses when it starts, where all values are known, and warns where nobody
// knows how long the broker waits.
func planDeliveryTimeout(p *planning[workerModel]) {
	m := p.model
	if m.Timeout.IsUnknown() || m.SpoolPatience.IsUnknown() || m.DeliveryTimeout.IsUnknown() {
		return
	}
	where, timeout, patience := path.Root("delivery_timeout"), durationOf(m.Timeout), durationOf(m.SpoolPatience)
	if m.DeliveryTimeout.IsNull() {
		longest := config.DurationText(run.LongestHold(timeout, patience))
		p.diags.AddAttributeWarning(where, "The broker's delivery timeout is unknown",
			"A request may be held for "+longest+". A broker that waits less (RabbitMQ waits 30 minutes unless it is told otherwise) "+
				"hands it to another worker while its tests run, and they are run again.\n\nSet delivery_timeout: to that of "+
				"autopkgtest_rabbitmq_server, or to what `rabbitmqctl environment` on the broker's machine says of consumer_timeout, "+
				"in milliseconds.")
		return
	}
	if err := m.checkDeliveryTimeout(); err != nil {
		explain(p.diags, "A request may outlive the broker's patience", err)
	}
}

func (m *workerModel) checkDeliveryTimeout() error {
	err := run.CheckDeliveryTimeout(durationOf(m.DeliveryTimeout), durationOf(m.Timeout), durationOf(m.SpoolPatience))
	return at(path.Root("delivery_timeout"), err)
}

func (workerKind) ensure(ctx context.Context, c *call[workerModel]) error {
	// Where the plan did not know it yet.
	if err := c.model.checkDeliveryTimeout(); err != nil {
		return err
	}
	d, err := c.place(ctx, c.model.service(), needsOfWorker)
	if err != nil {
		return err
	}
	binary, err := c.plannedBinary(workerName, c.model.Binary)
	if err != nil {
		return err
	}
	credentials, err := c.copied(ctx, d, workerService, c.model.givens()...)
	if err != nil {
		return err
	}
	conf, err := c.workerConfiguration(ctx, c.model, d, credentials)
	if err != nil {
		return err
	}
	report, err := d.Converge(ctx, workerDefinition(d, conf, binary, credentials.files...))
	if err == nil {
		works := ready(conf.HealthListen)
		if c.model.Images.IsNull() {
			works = readyToProve(conf.HealthListen)
		}
		err = d.WaitReady(ctx, "the worker", workerService, startLimit, works)
	}
	if err != nil {
		return c.undo(ctx, d, err, report.Created, func(ctx context.Context) error { return d.Withdraw(ctx, workerService) })
	}
	c.model.Binary = types.StringValue(binary.SHA256)
	return nil
}

func (workerKind) inspect(ctx context.Context, c *call[workerModel]) (finding, error) {
	d, err := c.open(c.model.path())
	if err != nil {
		return finding{}, err
	}
	if d == nil {
		return absentFolder(c.model.path()), nil
	}
	found, err := d.Inspect(ctx, workerService)
	if err != nil {
		return finding{}, err
	}
	if !found.Present {
		return absentService("worker", d.ServicePath(workerService)), nil
	}
	c.model.Binary = types.StringValue(found.Binary)
	if result := serviceFinding(found); result.Problem != "" {
		return result, nil
	}
	if result := c.copyFinding(ctx, d, workerService, c.model.givens()...); result != (finding{}) {
		return result, nil
	}
	if result := c.workerConfFinding(ctx, c.model, d); result != (finding{}) {
		return result, nil
	}
	return healthFinding(ctx, "the worker", workerHealth(d)), nil
}

func (workerKind) remove(ctx context.Context, c *call[workerModel]) error {
	if c.replaced(ctx) { // the next one stores the results that lie in its spool
		return c.unload(c.model.path(), func(d *host.Directory) error {
			return d.Withdraw(ctx, workerService, workerState)
		})
	}
	return c.withdraw(ctx, c.model.path(), func(d *host.Directory) error { return d.Withdraw(ctx, workerService) })
}

// imported reads back what the worker runs with.
func (workerKind) imported(_ context.Context, c *call[workerModel]) error {
	d, err := c.open(c.model.path())
	if d == nil || err != nil {
		return err
	}
	c.model.System = types.BoolValue(d.System())
	conf, err := config.LoadWorker(d.ServicePath(workerService, workerConf))
	if err != nil {
		return notThere(err)
	}
	c.model.BrokerCredentials = types.StringValue(c.files.name(conf.BrokerCredentials))
	c.model.StoreCredentials = types.StringValue(c.files.name(conf.StoreCredentials))
	if conf.DeliveryTimeout > 0 {
		c.model.DeliveryTimeout = types.StringValue(config.DurationText(conf.DeliveryTimeout))
	}
	c.model.Releases = stringSet(conf.Releases)
	c.model.Architectures = stringSet(conf.Architectures)
	c.model.Contexts = stringSet(contextWords(conf.Contexts))
	c.model.Slots = types.Int64Value(int64(conf.Slots))
	c.model.Timeout = types.StringValue(config.DurationText(conf.Timeout))
	c.model.SpoolPatience = types.StringValue(config.DurationText(conf.SpoolPatience))
	c.model.DrainTimeout = types.StringValue(config.DurationText(conf.DrainTimeout))
	c.model.Images = types.SetNull(types.StringType)
	if conf.Images != "" {
		c.model.Images = stringSet(imagePaths(conf))
	}
	return nil
}
