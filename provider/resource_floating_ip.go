package provider

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	deployed "github.com/autopkgtest-cloud/autopkgtest-cloud/provider/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

type floatingIPModel struct {
	baseModel
	Cloud      types.Object `tfsdk:"cloud"`
	Region     types.String `tfsdk:"region"`
	Name       types.String `tfsdk:"name"`
	Pool       types.String `tfsdk:"pool"`
	Address    types.String `tfsdk:"address"`
	Adopted    types.Bool   `tfsdk:"adopted"`
	PortID     types.String `tfsdk:"port_id"`
	InstanceID types.String `tfsdk:"instance_id"`
	FixedIP    types.String `tfsdk:"fixed_ip"`
	ID         types.String `tfsdk:"id"`
}

type floatingIPKind struct{}

func newFloatingIP() resource.Resource {
	// An address that somebody has released is allocated anew, with another id.
	return &managed[floatingIPModel]{kind: floatingIPKind{}, mutableIdentity: true}
}

func (floatingIPKind) typeName() string                                    { return "floating_ip" }
func (floatingIPKind) base(m *floatingIPModel) *baseModel                  { return &m.baseModel }
func (floatingIPKind) well() string                                        { return inPlace }
func (floatingIPKind) planRemoval(context.Context, *call[floatingIPModel]) {}

// patience has a minute for all else beside the wait for a router that is made at the same time.
func (floatingIPKind) patience(*floatingIPModel) time.Duration { return 6 * time.Minute }

func (floatingIPKind) identity(m *floatingIPModel) []identityValue {
	return []identityValue{
		{name: "region", description: cloudRegionText, value: m.Region},
		{name: "id", description: "ID of the floating IP in Neutron; for an import also its address.", value: m.ID},
	}
}

func (floatingIPKind) schema(ctx context.Context) schema.Schema {
	return schema.Schema{
		MarkdownDescription: floatingIPText,
		Attributes: baseAttributes(ctx, inPlace, map[string]schema.Attribute{
			"cloud":  cloudAccessAttribute(),
			"region": schema.StringAttribute{Computed: true, MarkdownDescription: cloudRegionText},
			"name": schema.StringAttribute{
				Required: true, Validators: []validator.String{floatingIPName()},
				MarkdownDescription: "Name of the floating IP, of which a stack has one in each region and project. With the stack's " +
					"name it is the address's description in Neutron, by which an apply finds the address that an " +
					"interrupted one has allocated.",
			},
			"pool": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
				MarkdownDescription: "Name or ID of the external network that the address is allocated from. Default: the only one that " +
					"the project sees. One of another network is another address.",
			},
			"address": schema.StringAttribute{
				Optional: true, Computed: true,
				Validators: []validator.String{floatingAddress(), stringvalidator.ConflictsWith(path.MatchRoot("pool"))},
				MarkdownDescription: "The address. Written in the configuration it is one that the project has already: it is used, and " +
					"a destroy detaches it and does not release it. Default: one is allocated, and released by a destroy.",
			},
			"adopted": schema.BoolAttribute{
				Computed: true, MarkdownDescription: "Whether the configuration names the address, so that it is never released.",
			},
			"port_id": schema.StringAttribute{
				Optional: true, Computed: true,
				Validators: []validator.String{
					stringvalidator.LengthAtLeast(1), stringvalidator.ConflictsWith(path.MatchRoot("instance_id")),
				},
				MarkdownDescription: "ID of the port that the address leads to. Default: that of `instance_id`; without both, the " +
					"address leads nowhere, and is only kept.",
			},
			"instance_id": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
				MarkdownDescription: "ID of the instance that the address leads to, by its only port; or the one that has `fixed_ip`.",
			},
			"fixed_ip": schema.StringAttribute{
				Optional: true, Validators: []validator.String{floatingAddress()},
				MarkdownDescription: "Which of the port's addresses it leads to, where it has several. Default: the only one.",
			},
			"id": schema.StringAttribute{Computed: true, MarkdownDescription: "ID of the floating IP in Neutron."},
		}),
	}
}

const floatingIPText = "A floating IP: an address of an external network that leads to a port of an instance, so that it can be reached " +
	"from outside. The address is kept while instances are replaced: only what it leads to changes.\n\n" +
	"An address that leads to another port already is not taken away from there when the resource is made. One that somebody has " +
	"detached, or has led elsewhere, is led back by the next apply; one that somebody has released is allocated anew, and then it is " +
	"another address. While no router connects the port's subnet with the external network, the apply waits for it, for five minutes " +
	"at most. That Neutron calls the address `DOWN` is no fault: it says so until a packet can pass."

func floatingIPName() validator.String {
	return check{"a floating IP's name", func(s string) error {
		const longest = 100 // with the mark and the stack's name it fits into a description
		if s == "" || len(s) > longest || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return fmt.Errorf("%q: a name has 1 to %d characters, and no control characters", s, longest)
		}
		return nil
	}}
}

func floatingAddress() validator.String {
	return check{"an IPv4 address", func(s string) error {
		address, err := netip.ParseAddr(s)
		if err != nil || !address.Is4() || address.String() != s {
			return fmt.Errorf("%q: Neutron translates addresses of IPv4 alone: write one as 192.0.2.7", s)
		}
		return nil
	}}
}

func (floatingIPKind) plan(ctx context.Context, p *planning[floatingIPModel]) {
	m, stands := p.model, p.state
	m.Adopted = types.BoolValue(!p.config.Address.IsNull())
	if stands == nil {
		m.Region = p.plannedRegion(ctx, m.Cloud, types.StringNull(), openstack.Network)
		m.planPort(p.config, nil)
		return
	}
	m.Region = p.plannedRegion(ctx, m.Cloud, stands.Region)
	m.planPort(p.config, stands)
	m.ID = stands.ID
	if p.config.Address.IsNull() {
		m.Address = stands.Address
	}
	released := stands.Status.ValueString() == deployed.FloatingIPReleased
	switch {
	case m.Adopted.ValueBool() && !m.Address.Equal(stands.Address) && !stands.Address.IsNull():
		p.replace(path.Root("address"))
		m.ID = types.StringUnknown()
		p.checkAdoption(ctx, m)
	case !m.Adopted.ValueBool() && stands.Adopted.ValueBool():
		// One that was never ours must not become ours by a line that is taken out.
		p.replace(path.Root("address"))
		m.ID, m.Address = types.StringUnknown(), types.StringUnknown()
	case !m.Adopted.ValueBool() && p.otherPool(ctx, m, stands):
		p.replace(path.Root("pool"))
		m.ID, m.Address = types.StringUnknown(), types.StringUnknown()
	case !m.Adopted.ValueBool() && (released || stands.ID.IsNull()):
		m.ID, m.Address = types.StringUnknown(), types.StringUnknown()
		if released {
			p.diags.AddAttributeWarning(path.Root("address"), "The address changes",
				"Somebody has released "+stands.Address.ValueString()+", and the one that is allocated in its place is another. Tell "+
					"those who know the old one: names in the DNS, firewalls.")
		}
	case stands.ID.IsNull():
		m.ID = types.StringUnknown()
	}
}

// otherPool says whether the pool is now another network than the one that the address is of. A name that is wrong must not cost
// the address, so it is looked at before.
func (p *planning[M]) otherPool(ctx context.Context, m, stands *floatingIPModel) bool {
	if m.Pool.Equal(stands.Pool) || m.Pool.IsNull() || m.Pool.IsUnknown() || stands.ID.IsNull() || m.Region.IsUnknown() {
		return false
	}
	project, err := p.projectIn(ctx, m.Cloud, stands.Region.ValueString(), p.diags)
	other := false
	if err == nil {
		other, err = project.OfAnotherPool(ctx, stands.ID.ValueString(), m.Pool.ValueString())
	}
	if _, err := unseenCloud(err); err != nil {
		explain(p.diags, "Could not plan the change of the pool", atField(err))
	}
	return other
}

// checkAdoption looks for the address that takes the place of the one that is there, before that goes.
func (p *planning[M]) checkAdoption(ctx context.Context, m *floatingIPModel) {
	if m.Address.IsUnknown() || m.Region.IsUnknown() {
		return
	}
	project, err := p.projectIn(ctx, m.Cloud, m.Region.ValueString(), p.diags)
	if err == nil {
		_, err = project.FloatingIP(ctx, m.Address.ValueString())
	}
	if _, err := unseenCloud(err); err != nil {
		explain(p.diags, "Could not plan the change of the address", at(path.Root("address"), err))
	}
}

// planPort plans where the address leads, as far as that can be known.
func (m *floatingIPModel) planPort(config, stands *floatingIPModel) {
	switch {
	case !config.PortID.IsNull():
	case config.InstanceID.IsNull():
		m.PortID = types.StringNull()
	case stands != nil && stands.InstanceID.Equal(m.InstanceID) && stands.FixedIP.Equal(m.FixedIP) &&
		stands.Status.ValueString() == inPlace:
		m.PortID = stands.PortID
	default:
		m.PortID = types.StringUnknown()
	}
}

// wanted is what the model asks for.
func (m *floatingIPModel) wanted(stack string) deployed.FloatingIP {
	want := deployed.FloatingIP{
		ID: m.ID.ValueString(), Pool: m.Pool.ValueString(), FixedIP: m.FixedIP.ValueString(),
		ServerID: m.InstanceID.ValueString(),
	}
	if want.ServerID == "" {
		want.PortID = m.PortID.ValueString()
	}
	if name := m.Name.ValueString(); name != "" {
		want.Mark = deployed.FloatingIPMark(stack, name)
	}
	if m.Adopted.ValueBool() {
		want.Adopted = m.Address.ValueString()
	}
	return want
}

func (floatingIPKind) ensure(ctx context.Context, c *call[floatingIPModel]) error {
	m := c.model
	in := m.Region.ValueString()
	want := m.wanted(c.stack)
	if c.prior != nil {
		want.ID = c.prior.ID.ValueString()
	}
	// What an interruption leaves must not be unknown.
	if m.ID.IsUnknown() {
		m.ID = types.StringNull()
	}
	if m.Region.IsUnknown() {
		m.Region = types.StringNull()
	}
	project, err := c.project(ctx, m.Cloud, in)
	if err != nil {
		return err
	}
	m.Region = types.StringValue(project.Name())
	there, err := project.EnsureFloatingIP(ctx, want)
	if there.ID != "" {
		m.ID, m.Address = types.StringValue(there.ID), types.StringValue(there.FloatingIP)
	}
	if err == nil { // otherwise it stays what was planned: a state that contradicts the plan is one of a broken provider
		m.PortID = textOrNull(there.PortID)
	}
	return atField(err)
}

func (floatingIPKind) inspect(ctx context.Context, c *call[floatingIPModel]) (finding, error) {
	m := c.model
	project, err := c.project(ctx, m.Cloud, m.Region.ValueString())
	if err != nil {
		return unseenCloud(err)
	}
	there, problem, err := project.LookAtFloatingIP(ctx, m.wanted(c.stack), m.PortID.ValueString())
	if err != nil {
		return unseenCloud(err)
	}
	if m.ID.IsNull() && there.ID == "" {
		problem = "its creation was interrupted"
	}
	if there.ID != "" {
		m.ID, m.Address = types.StringValue(there.ID), types.StringValue(there.FloatingIP)
	}
	return finding{Problem: problem, Absent: there.ID == ""}, nil
}

func (floatingIPKind) imported(ctx context.Context, c *call[floatingIPModel]) error {
	m := c.model
	project, err := c.project(ctx, m.Cloud, m.Region.ValueString())
	if err != nil {
		return err
	}
	there, err := project.FloatingIP(ctx, m.ID.ValueString())
	if err != nil {
		return err
	}
	m.ID, m.Address, m.PortID = types.StringValue(there.ID), types.StringValue(there.FloatingIP), textOrNull(there.PortID)
	if name, ours := deployed.FloatingIPName(c.stack, there.Description); ours {
		m.Name, m.Adopted = types.StringValue(name), types.BoolValue(false)
	}
	return nil
}

func (floatingIPKind) remove(ctx context.Context, c *call[floatingIPModel]) error {
	m := c.model
	project, err := c.project(ctx, m.Cloud, m.Region.ValueString())
	if err != nil {
		return err
	}
	return project.RemoveFloatingIP(ctx, m.wanted(c.stack), m.PortID.ValueString())
}
