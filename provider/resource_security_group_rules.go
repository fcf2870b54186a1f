package provider

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	deployed "github.com/autopkgtest-cloud/autopkgtest-cloud/provider/openstack"
)

// groupRuleModel is a rule as a configuration has it.
type groupRuleModel struct {
	Direction   types.String `tfsdk:"direction"`
	EtherType   types.String `tfsdk:"ethertype"`
	Protocol    types.String `tfsdk:"protocol"`
	Ports       types.String `tfsdk:"ports"`
	ICMPType    types.Int64  `tfsdk:"icmp_type"`
	ICMPCode    types.Int64  `tfsdk:"icmp_code"`
	CIDR        types.String `tfsdk:"cidr"`
	RemoteGroup types.String `tfsdk:"remote_group"`
	Description types.String `tfsdk:"description"`
}

var groupRuleTypes = map[string]attr.Type{
	"direction": types.StringType, "ethertype": types.StringType, "protocol": types.StringType, "ports": types.StringType,
	"icmp_type": types.Int64Type, "icmp_code": types.Int64Type, "cidr": types.StringType, "remote_group": types.StringType,
	"description": types.StringType,
}

// ruleDescriptionLimit leaves room for the mark of a stack with the longest name in the 255 characters that Neutron has.
const ruleDescriptionLimit = 170

func groupRulesAttribute() schema.Attribute {
	word := func(text string) schema.StringAttribute {
		return schema.StringAttribute{
			Optional: true, MarkdownDescription: text, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
		}
	}
	protocol := word("`tcp`, `udp`, `icmp`, `ipv6-icmp`, another one that Neutron knows, a number, or `any`.")
	protocol.Optional, protocol.Required = false, true
	description := word("What the rule is for. Another one makes the rule anew, and it is missing for a moment.")
	description.Validators = append(description.Validators, stringvalidator.LengthAtMost(ruleDescriptionLimit))
	number := func(text string) schema.Int64Attribute {
		return schema.Int64Attribute{
			Optional: true, MarkdownDescription: text, Validators: []validator.Int64{int64validator.Between(0, 255)},
		}
	}
	return schema.ListNestedAttribute{
		Optional: true, Validators: []validator.List{listvalidator.SizeAtLeast(1)},
		MarkdownDescription: "Rules. Their order means nothing.",
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"direction": word("`ingress` or `egress`. Default: `ingress`."),
			"ethertype": word("`IPv4` or `IPv6`. Default: that of `cidr`, else `IPv4`."),
			"protocol":  protocol,
			"ports":     word("`22` or `5671-5672`, for protocols that have ports. Default: all."),
			"icmp_type": number("Type, for ICMP. Default: all."),
			"icmp_code": number("Code, beside a type. Default: all."),
			"cidr": word("Network at the other end, as `192.0.2.0/24` or `2001:db8::/32`; an address is a network of one. Bits beyond " +
				"the prefix are dropped. Default: everybody of the `ethertype`."),
			"remote_group": word("ID of the group that the machines at the other end are in, or `self` for this group."),
			"description":  description,
		}},
	}
}

// groupPreset is a set of rules that a test cloud needs.
type groupPreset struct {
	name, text string
	ports      []string
	// everybody may be let in, and is unless the configuration says otherwise.
	everybody bool
}

var groupPresets = []groupPreset{
	{name: "testbed", text: "Machines that tests run on: ssh, from the workers only.", ports: []string{"22"}},
	{name: "broker", text: "The broker: AMQP and AMQP over TLS (5671-5672), from the gatekeeper's host and the workers.",
		ports: []string{"5671-5672"}},
	{name: "web", text: "The website: 80 and 443, from everybody unless `from` or `from_groups` says otherwise.",
		ports: []string{"80", "443"}, everybody: true},
}

// groupPresetModel is who is let in by a preset.
type groupPresetModel struct {
	From       types.Set `tfsdk:"from"`
	FromGroups types.Set `tfsdk:"from_groups"`
}

func groupPresetsAttribute() schema.Attribute {
	attributes := map[string]schema.Attribute{}
	for _, preset := range groupPresets {
		attributes[preset.name] = schema.SingleNestedAttribute{
			Optional: true, MarkdownDescription: preset.text,
			Attributes: map[string]schema.Attribute{
				"from": schema.SetAttribute{
					Optional: true, ElementType: types.StringType, Validators: []validator.Set{setvalidator.SizeAtLeast(1)},
					MarkdownDescription: "Networks or addresses, of IPv4 or IPv6.",
				},
				"from_groups": schema.SetAttribute{
					Optional: true, ElementType: types.StringType, Validators: []validator.Set{setvalidator.SizeAtLeast(1)},
					MarkdownDescription: "IDs of groups whose members are let in, over IPv4; `self` is this group.",
				},
			},
		}
	}
	return schema.SingleNestedAttribute{
		Optional: true, MarkdownDescription: "Ready-made rules, beside `rules`.", Attributes: attributes,
	}
}

// groupRules collects the rules of a model.
type groupRules struct {
	wanted []deployed.WantedRule
	paths  []path.Path // where each is written
	known  bool        // false while there may be more, or others
	diags  *diag.Diagnostics
}

// wantedRules are the rules that a model asks for, of its own and of presets; what is wrong with them goes to diags. Those that are not
// known are left out, and then known is false.
func wantedRules(ctx context.Context, m *securityGroupModel, diags *diag.Diagnostics) (wanted []deployed.WantedRule, known bool) {
	r := groupRules{known: !m.Rules.IsUnknown() && !m.Presets.IsUnknown(), diags: diags}
	for i, element := range m.Rules.Elements() {
		where := path.Root("rules").AtListIndex(i)
		rule, is := element.(types.Object)
		if !is || rule.IsUnknown() {
			r.known = false
			continue
		}
		var written groupRuleModel
		r.diags.Append(rule.As(ctx, &written, basetypes.ObjectAsOptions{})...)
		r.written(where, written)
	}
	for _, preset := range groupPresets {
		object, is := m.Presets.Attributes()[preset.name].(types.Object)
		if !is || object.IsNull() {
			continue
		}
		if object.IsUnknown() {
			r.known = false
			continue
		}
		var from groupPresetModel
		r.diags.Append(object.As(ctx, &from, basetypes.ObjectAsOptions{})...)
		r.preset(path.Root("presets").AtName(preset.name), preset, from)
	}
	if first, second, found := deployed.Duplicate(r.wanted); found {
		r.diags.AddAttributeError(r.paths[second], "Two rules are the same one",
			fmt.Sprintf("%s and %s both are: %s. Neutron has a rule only once. Leave one out.", r.paths[first], r.paths[second],
				r.wanted[first].Rule))
	}
	return r.wanted, r.known
}

func (r *groupRules) written(where path.Path, m groupRuleModel) {
	for _, text := range []types.String{m.Direction, m.EtherType, m.Protocol, m.Ports, m.CIDR, m.RemoteGroup, m.Description} {
		if text.IsUnknown() {
			r.known = false
			return
		}
	}
	if m.ICMPType.IsUnknown() || m.ICMPCode.IsUnknown() {
		r.known = false
		return
	}
	r.add(where, deployed.Draft{
		Direction: m.Direction.ValueString(), EtherType: m.EtherType.ValueString(), Protocol: m.Protocol.ValueString(),
		Ports: m.Ports.ValueString(), ICMPType: orNoPort(m.ICMPType), ICMPCode: orNoPort(m.ICMPCode),
		CIDR: m.CIDR.ValueString(), RemoteGroup: m.RemoteGroup.ValueString(),
	}, m.Description.ValueString())
}

func orNoPort(n types.Int64) int {
	if n.IsNull() {
		return deployed.NoPort
	}
	return int(n.ValueInt64())
}

func (r *groupRules) preset(where path.Path, preset groupPreset, m groupPresetModel) {
	from, known1 := stringsOf(m.From)
	groups, known2 := stringsOf(m.FromGroups)
	if !known1 || !known2 {
		r.known = false
		return
	}
	if len(from)+len(groups) == 0 {
		if !preset.everybody {
			r.diags.AddAttributeError(where, "Nobody is let in", "Name the networks in from, or the groups in from_groups.")
			return
		}
		from = []string{"0.0.0.0/0", "::/0"}
	}
	add := func(where path.Path, d deployed.Draft) {
		for _, ports := range preset.ports {
			d.Protocol, d.Ports, d.ICMPType, d.ICMPCode = "tcp", ports, deployed.NoPort, deployed.NoPort
			r.add(where, d, preset.name)
		}
	}
	for _, network := range from {
		place := where.AtName("from").AtSetValue(types.StringValue(network))
		parsed, err := deployed.ParseNetwork(network)
		switch {
		case err != nil:
			r.diags.AddAttributeError(place, "Not a network", err.Error())
		case parsed.Bits() == 0 && !preset.everybody:
			r.diags.AddAttributeError(place, "The preset "+preset.name+" is not for everybody",
				preset.text+" Name their networks. If everybody is meant, write that as one of rules.")
		default:
			add(place, deployed.Draft{CIDR: network})
		}
	}
	for _, group := range groups {
		add(where.AtName("from_groups").AtSetValue(types.StringValue(group)), deployed.Draft{RemoteGroup: group})
	}
}

func (r *groupRules) add(where path.Path, d deployed.Draft, description string) {
	rule, err := deployed.NewRule(d)
	var wrong *deployed.FieldError
	if errors.As(err, &wrong) {
		r.diags.AddAttributeError(where.AtName(wrong.Field), "Not a rule", wrong.Err.Error())
		return
	}
	r.wanted = append(r.wanted, deployed.WantedRule{Rule: rule, Description: description})
	r.paths = append(r.paths, where)
}

// ruleObjects are rules as a configuration would have them; null without any.
func ruleObjects(rules []deployed.WantedRule) types.List {
	kind := types.ObjectType{AttrTypes: groupRuleTypes}
	if len(rules) == 0 {
		return types.ListNull(kind)
	}
	var elements []attr.Value
	for _, r := range rules {
		icmpType, icmpCode := r.ICMP()
		protocol := r.Protocol
		if protocol == "" {
			protocol = "any"
		}
		elements = append(elements, object(groupRuleTypes, values{
			"direction": types.StringValue(r.Direction), "ethertype": types.StringValue(r.EtherType),
			"protocol": types.StringValue(protocol), "ports": textOrNull(r.Ports()),
			"icmp_type": portOrNull(icmpType), "icmp_code": portOrNull(icmpCode),
			"cidr": textOrNull(r.CIDR), "remote_group": textOrNull(r.RemoteGroup), "description": textOrNull(r.Description),
		}))
	}
	return types.ListValueMust(kind, elements)
}

func portOrNull(n int) types.Int64 {
	if n == deployed.NoPort {
		return types.Int64Null()
	}
	return types.Int64Value(int64(n))
}
