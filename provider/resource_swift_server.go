package provider

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/swift"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lease"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	swiftstore "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
)

type swiftServerModel struct {
	serviceModel
	Listen       types.String `tfsdk:"listen"`
	Store        types.Object `tfsdk:"store"`
	ForceDestroy types.Bool   `tfsdk:"force_destroy"`
}

type swiftServerKind struct{}

func newSwiftServer() resource.Resource { return &managed[swiftServerModel]{kind: swiftServerKind{}} }

func (swiftServerKind) typeName() string                             { return "swift_server" }
func (swiftServerKind) base(m *swiftServerModel) *baseModel          { return &m.baseModel }
func (swiftServerKind) identity(m *swiftServerModel) []identityValue { return m.serviceIdentity() }
func (swiftServerKind) well() string                                 { return running }
func (swiftServerKind) patience(m *swiftServerModel) time.Duration {
	return m.patience(5 * time.Minute)
}

func (swiftServerKind) schema(ctx context.Context) schema.Schema {
	return schema.Schema{
		MarkdownDescription: "A result store in the stack's folder: OpenStack Swift on one machine, with one replica, supervised " +
			"and without root.\n\nResults exist nowhere else: its data is what one backs up.",
		Attributes: serviceAttributes(ctx, map[string]schema.Attribute{
			"listen": schema.StringAttribute{
				Optional: true, Validators: []validator.String{ipAddress()},
				MarkdownDescription: "IP address of this machine at which the store is served, to this machine and to others. Default: " +
					"`127.0.0.1`. It is plain HTTP, which shows passwords and results to whoever sees the packets: a plan warns of an " +
					"address that other machines can reach.",
			},
			"force_destroy": schema.BoolAttribute{
				Optional: true,
				MarkdownDescription: "Let a destroy remove a store that still holds results. Default: `false`. A replacement " +
					"(`-replace`) goes on with everything that is stored in any case.",
			},
			"store": schema.SingleNestedAttribute{
				Computed: true, Attributes: computedStore(),
				MarkdownDescription: "The store, as other resources take it.",
				PlanModifiers:       []planmodifier.Object{objectplanmodifier.UseStateForUnknown()},
			},
		}),
	}
}

func (swiftServerKind) plan(ctx context.Context, p *planning[swiftServerModel]) {
	p.planDirectory(&p.model.serviceModel, p.state.service(), &p.config.serviceModel, p.diags)
	p.warnOfMove(p.state.service(), &p.model.serviceModel, "results of the store")
	planStoreAddress(p)
	moved := p.state == nil || !p.state.Listen.Equal(p.model.Listen)
	lost := p.state != nil && !hasIncarnation(p.state.Store)
	switch {
	case p.model.elsewhere() && !moved:
		return
	case p.model.elsewhere() || p.model.Listen.IsUnknown() || p.model.rerouted(p.state.service()):
		p.model.Store = types.ObjectUnknown(storeTypes)
		return
	case moved:
		p.model.Store = p.keptStore(p.model.path(), p.model.settings())
	case lost:
		p.model.Store = p.newIncarnation(p.state.Store, p.state.path())
	}
	if lost {
		p.warnOfLoss(ctx, p.state.Store, "the store in "+p.state.path(),
			"The apply begins with an empty store. The index keeps no results that the store has lost.")
	}
}

// planStoreAddress refuses in a plan an address at which the store could not be served, and says who will reach it.
func planStoreAddress(p *planning[swiftServerModel]) {
	m, where := p.model, path.Root("listen")
	if m.Listen.IsNull() || m.Listen.IsUnknown() || m.elsewhere() {
		return
	}
	if err := m.settings().Check(); err != nil {
		explain(p.diags, "The store cannot listen like this", at(where, err))
		return
	}
	checkOwnAddress(p.diags, "store", where, m.Listen.ValueString())
	if p.state == nil || !p.state.Listen.Equal(m.Listen) {
		warnOfReach(p.diags, "store", []string{m.Listen.ValueString()}, "It will be served at %s over plain HTTP, as the configuration "+
			"says. Passwords and results, private ones too, can be read and changed on their way: let only the network of the test "+
			"cloud reach the port.")
	}
}

func (m *swiftServerModel) settings() swift.Settings {
	return swift.Settings{Listen: m.Listen.ValueString()}
}

func (m *swiftServerModel) service() *serviceModel {
	if m == nil {
		return nil
	}
	return &m.serviceModel
}

// keptStore knows a store that goes on with data that are there: what depends on it does not change. Where there are none, or they
// cannot be looked at, the apply finds out.
func (p *planning[M]) keptStore(directory string, s swift.Settings) types.Object {
	d, err := p.open(directory)
	if d == nil || err != nil {
		return types.ObjectUnknown(storeTypes)
	}
	info, kept, err := swift.Kept(d, s)
	if !kept || err != nil {
		return types.ObjectUnknown(storeTypes)
	}
	return p.storeObject(info)
}

func (swiftServerKind) planRemoval(ctx context.Context, c *call[swiftServerModel]) {
	if err := refuseResultLoss(ctx, c); err != nil {
		explain(c.diags, "Cannot remove the store in "+c.model.path(), err)
	}
}

// refuseResultLoss fails when a store that is to go holds results, or may hold some.
func refuseResultLoss(ctx context.Context, c *call[swiftServerModel]) error {
	if c.model.ForceDestroy.ValueBool() {
		return nil
	}
	d, err := c.open(c.model.path())
	if d == nil || err != nil || !swift.HoldsData(d) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	const consequence = "They exist nowhere else."
	full, err := c.filledContainers(ctx, storeOf(ctx, c.model.Store))
	switch {
	case err != nil:
		return held("Whether results are in the store is not known", consequence, "force_destroy", err)
	case len(full) > 0:
		return held("Results are in "+strings.Join(full, ", "), consequence, "force_destroy", nil)
	}
	return nil
}

// filledContainers are those that have something in them, but for the leases of requests, which are no use without a broker.
func (s *settings) filledContainers(ctx context.Context, m storeModel) (full []string, err error) {
	client, _, err := s.storeClient(ctx, m)
	if err != nil {
		return nil, err
	}
	names, err := client.Containers(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if name == lease.Container {
			continue
		}
		found, err := client.List(ctx, name, store.Query{Limit: 1})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if len(found) > 0 {
			full = append(full, name)
		}
	}
	return full, nil
}

func (swiftServerKind) ensure(ctx context.Context, c *call[swiftServerModel]) error {
	d, err := c.place(ctx, c.model.service(), needsOfSwift)
	if err != nil {
		return err
	}
	// What holds data was not begun by us, whatever became of its manifest.
	begun := began(d, swift.Service) && !swift.HoldsData(d)
	info, err := swift.Apply(ctx, d, c.model.settings())
	if err != nil {
		return c.undo(ctx, d, err, begun, func(ctx context.Context) error { return swift.Withdraw(ctx, d) })
	}
	c.model.Store = c.storeObject(info)
	return nil
}

func (s *settings) storeObject(info swift.Info) types.Object {
	incarnation := types.StringNull()
	if info.Incarnation != "" {
		incarnation = types.StringValue(info.Incarnation)
	}
	return object(storeTypes, values{
		"auth_url":         types.StringValue(info.AuthURL),
		"storage_url":      types.StringValue(info.StorageURL),
		"credentials_file": types.StringValue(s.files.name(info.CredentialsFile)),
		"incarnation":      incarnation,
	})
}

func (swiftServerKind) inspect(ctx context.Context, c *call[swiftServerModel]) (finding, error) {
	d, err := c.open(c.model.path())
	if err != nil {
		return finding{}, err
	}
	if d == nil {
		c.model.Store = withoutIncarnation(c.model.Store)
		return absentFolder(c.model.path()), nil
	}
	info, err := swift.Inspect(ctx, d, c.model.settings())
	if err != nil {
		return finding{}, err
	}
	if !info.Present {
		c.model.Store = withoutIncarnation(c.model.Store)
		return absentService("store", d.ServicePath(swift.Service)), nil
	}
	c.model.Store = c.storeObject(info)
	if info.Problem == "" {
		c.rememberStore(ctx, info)
	}
	return finding{Problem: info.Problem}, nil
}

// rememberStore keeps the names of the containers for a plan that has to say what is gone.
func (c *call[M]) rememberStore(ctx context.Context, info swift.Info) {
	account, err := config.ReadStore(info.CredentialsFile)
	if err != nil {
		return
	}
	names, err := swiftstore.New(account).Containers(ctx)
	if err != nil {
		return
	}
	var known inventory
	for _, name := range names {
		known.Things = append(known.Things, "the container "+name+" with its results")
	}
	known.remember(ctx, c.memory)
}

func (swiftServerKind) remove(ctx context.Context, c *call[swiftServerModel]) error {
	if c.replaced(ctx) {
		return c.unload(c.model.path(), func(d *host.Directory) error { return swift.Unload(ctx, d) })
	}
	if err := refuseResultLoss(ctx, c); err != nil {
		return err
	}
	return c.withdraw(ctx, c.model.path(), func(d *host.Directory) error { return swift.Withdraw(ctx, d) })
}

func (swiftServerKind) imported(_ context.Context, c *call[swiftServerModel]) error {
	d, err := c.open(c.model.path())
	if d == nil || err != nil {
		return err
	}
	c.model.System = types.BoolValue(d.System())
	configured, err := swift.Configured(d)
	c.model.Listen = textOrNull(configured.Listen)
	return err // the Read that follows fills in the rest
}
