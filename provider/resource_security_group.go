package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	deployed "github.com/autopkgtest-cloud/autopkgtest-cloud/provider/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

type securityGroupModel struct {
	baseModel
	Cloud        types.Object `tfsdk:"cloud"`
	Region       types.String `tfsdk:"region"`
	ID           types.String `tfsdk:"id"`
	Name         types.String `tfsdk:"name"`
	Description  types.String `tfsdk:"description"`
	Adopt        types.Bool   `tfsdk:"adopt"`
	Rules        types.List   `tfsdk:"rules"`
	Presets      types.Object `tfsdk:"presets"`
	ForeignRules types.List   `tfsdk:"foreign_rules"`
}

type securityGroupKind struct{}

func newSecurityGroup() resource.Resource {
	// One that somebody has deleted is made anew, with another id.
	return &managed[securityGroupModel]{kind: securityGroupKind{}, mutableIdentity: true}
}

func (securityGroupKind) typeName() string                                       { return "security_group" }
func (securityGroupKind) base(m *securityGroupModel) *baseModel                  { return &m.baseModel }
func (securityGroupKind) well() string                                           { return inPlace }
func (securityGroupKind) planRemoval(context.Context, *call[securityGroupModel]) {}

// patience of a removal is spent on servers that are just going, and on telling which ones do not.
func (securityGroupKind) patience(*securityGroupModel) time.Duration { return 3 * time.Minute }

func (securityGroupKind) identity(m *securityGroupModel) []identityValue {
	return []identityValue{
		{name: "region", description: cloudRegionText, value: m.Region},
		{name: "id", description: "ID of the group in Neutron; for an import also its name.", value: m.ID},
	}
}

func (securityGroupKind) schema(ctx context.Context) schema.Schema {
	return schema.Schema{
		MarkdownDescription: securityGroupText,
		Attributes: baseAttributes(ctx, inPlace, map[string]schema.Attribute{
			"cloud":  cloudAccessAttribute(),
			"region": schema.StringAttribute{Computed: true, MarkdownDescription: cloudRegionText},
			"id":     schema.StringAttribute{Computed: true, MarkdownDescription: "ID of the group in Neutron."},
			"name": schema.StringAttribute{
				Required: true, Validators: []validator.String{stringvalidator.LengthBetween(1, 255)},
				MarkdownDescription: "Name of the group, of which the project may have only one. Another name renames an owned " +
					"group; that of an adopted one is another group.",
			},
			"description": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(""),
				Validators:          []validator.String{stringvalidator.LengthAtMost(255)},
				MarkdownDescription: "What the group is for. That of an adopted group is not ours to write. Default: empty.",
			},
			"adopt": schema.BoolAttribute{
				Optional: true, Computed: true, Default: booldefault.StaticBool(false),
				MarkdownDescription: "Whether the group is one that others have made and use, as `default` is: it has to be there, the " +
					"rules are added to it, others' rules stay and are told as `foreign_rules`, and a destroy takes away only what was " +
					"added. A change to `true` gives a group of ours away; one to `false` takes it over, with all of its rules. " +
					"Default: `false`.",
			},
			"rules":   groupRulesAttribute(),
			"presets": groupPresetsAttribute(),
			"foreign_rules": schema.ListAttribute{
				Computed: true, ElementType: types.StringType,
				MarkdownDescription: "Rules of an adopted group that others have added, or that were there before. Empty for an owned " +
					"one.",
			},
		}),
	}
}

const securityGroupText = "A security group with all of its rules: what may reach the machines that are in it, and what they may " +
	"reach.\n\n" +
	"An owned group (`adopt = false`) has the rules of `rules` and `presets`, and no others. A rule that somebody adds or removes by " +
	"hand is told by the next plan, and the apply puts it right; new rules are added before old ones " +
	"are removed. Rules are compared by what " +
	"they let pass, however they are written: `6` is `tcp`, `192.0.2.7/24` is `192.0.2.0/24`, no `cidr` is `0.0.0.0/0`. A plan refuses " +
	"two that are the same. An equal rule that is there already is taken over.\n\n" +
	"**Egress.** While no rule of the configuration has the direction `egress`, an owned group has the two rules that let everything out " +
	"(IPv4 and IPv6), which Neutron gives to every new group. With the first rule about egress these two go, and only what is written " +
	"passes.\n\n" +
	"**Whose it is.** A group that we make has the tag `autopkgtest-cloud=STACK`, by which an apply finds what an interrupted one has " +
	"begun. A group of the same name without it is refused, unless it is adopted or imported. Rules that we add carry the same mark in " +
	"their description, which Neutron never changes: so a destroy of an adopted group takes away just these, even if the state was lost " +
	"in between, and a rule that was there before stays. A stack has one resource for each group.\n\n" +
	"A group that a server still uses is not removed: the destroy waits for `timeouts.delete` (3 minutes unless told), and then names " +
	"the ports and servers."

// groupGone is the status of a group that somebody has deleted.
const groupGone = "the security group is gone; an apply makes it again"

func (securityGroupKind) plan(ctx context.Context, p *planning[securityGroupModel]) {
	m, stands := p.model, p.state
	was := types.StringNull()
	if stands != nil {
		was = stands.Region
	}
	m.Region = p.plannedRegion(ctx, m.Cloud, was, openstack.Network)
	m.ID, m.ForeignRules = types.StringUnknown(), types.ListUnknown(types.StringType)
	if stands != nil && !stands.ID.IsNull() && stands.Status.ValueString() != groupGone {
		m.ID = stands.ID
	}
	adopt := m.Adopt.ValueBool()
	switch {
	case m.Adopt.IsUnknown():
	case !adopt:
		m.ForeignRules = types.ListValueMust(types.StringType, nil)
	case stands != nil && stands.Adopt.ValueBool():
		if !stands.ForeignRules.IsNull() {
			m.ForeignRules = stands.ForeignRules
		}
		if !m.Name.IsUnknown() && !m.Name.Equal(stands.Name) {
			p.replace(path.Root("name"))
		}
	}
	checkGroup(p)
	wanted, known := wantedRules(ctx, m, p.diags)
	if p.diags.HasError() {
		return
	}
	if known && !m.Name.IsUnknown() && !m.Region.IsUnknown() {
		planOnce(p, wanted)
	}
	if stands == nil {
		lookForGroup(ctx, p)
	} else if stands.Adopt.ValueBool() && !adopt {
		warnOfTakeover(p)
	}
}

// checkGroup refuses what could not be made.
func checkGroup(p *planning[securityGroupModel]) {
	if p.model.Adopt.IsUnknown() {
		return
	}
	switch adopt := p.model.Adopt.ValueBool(); {
	case !adopt && p.model.Name.ValueString() == deployed.DefaultGroup:
		p.diags.AddAttributeError(path.Root("adopt"), "The group default can only be adopted",
			"Every server that names no group is in it, and nobody can remove it. Set adopt = true: rules are added to it, and a destroy "+
				"takes these away. For a group of its own, choose another name.")
	case adopt && p.config.Description.ValueString() != "":
		p.diags.AddAttributeError(path.Root("description"), "The description of an adopted group is not ours to write",
			"Leave it out. Rules may have descriptions.")
	}
}

// planOnce refuses two resources for one group: each would remove what the other one adds. One that is planned twice is equal to itself.
func planOnce(p *planning[securityGroupModel], wanted []deployed.WantedRule) {
	m := p.model
	group := strings.Join([]string{m.Cloud.String(), m.Region.ValueString(), m.Name.ValueString()}, "\x00")
	plan := fmt.Sprintln(m.Adopt, m.Description, wanted)
	p.mu.Lock()
	defer p.mu.Unlock()
	if before, there := p.groups[group]; there && before != plan {
		p.diags.AddAttributeError(path.Root("name"), "Two resources for the security group "+m.Name.ValueString(),
			"Each would remove the rules that the other one adds. Write all rules of a group into one resource.")
	}
	p.groups[group] = plan
}

// lookForGroup refuses in the plan what the apply would refuse. What cannot be looked at now is left to the apply.
func lookForGroup(ctx context.Context, p *planning[securityGroupModel]) {
	m := p.model
	if m.Region.IsUnknown() || m.Name.IsUnknown() || m.Adopt.IsUnknown() {
		return
	}
	region, err := p.cloudRegion(ctx, m.Cloud, "", p.diags)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookAheadLimit)
	defer cancel()
	_, err = p.inventories.Of(region).FindGroup(ctx, groupSpec(ctx, m, p.stack))
	if errors.Is(err, openstack.ErrConflict) {
		explain(p.diags, "Could not plan autopkgtest_security_group "+m.Name.ValueString(), at(path.Root("name"), err))
	}
}

func warnOfTakeover(p *planning[securityGroupModel]) {
	foreign, _ := listOf(p.state.ForeignRules)
	if len(foreign) > 0 {
		p.diags.AddAttributeWarning(path.Root("adopt"), "The group is taken over, and others' rules are removed",
			"Of these, what the configuration does not have goes with the apply:\n\n  - "+strings.Join(foreign, "\n  - ")+
				"\n\nA destroy then removes the group.")
	}
}

// groupSpec is the group that a model asks for. What is not known of it is empty.
func groupSpec(ctx context.Context, m *securityGroupModel, stack string) deployed.GroupSpec {
	wanted, _ := wantedRules(ctx, m, new(diag.Diagnostics))
	return deployed.GroupSpec{
		Stack: stack, ID: m.ID.ValueString(), Name: m.Name.ValueString(), Description: m.Description.ValueString(),
		Adopt: m.Adopt.ValueBool(), Rules: wanted,
	}
}

func (securityGroupKind) ensure(ctx context.Context, c *call[securityGroupModel]) error {
	m := c.model
	// With all known, duplicates can show that the plan could not see.
	var found diag.Diagnostics
	wantedRules(ctx, m, &found)
	if found.HasError() {
		c.diags.Append(found...)
		return errGroupRules
	}
	spec := groupSpec(ctx, m, c.stack)
	if c.prior != nil {
		spec.ID = c.prior.ID.ValueString()
	}
	in := m.Region.ValueString()
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
	there, err := project.EnsureGroup(ctx, spec)
	if there.ID != "" {
		m.ID = types.StringValue(there.ID)
	}
	if err != nil {
		return err
	}
	if m.ForeignRules.IsUnknown() {
		m.ForeignRules = groupRuleTexts(spec.Foreign(there))
	}
	return nil
}

var errGroupRules = errors.New("its rules are not right; see the other message")

func groupRuleTexts(texts []string) types.List {
	return types.ListValueMust(types.StringType, elementsOf(texts))
}

func (securityGroupKind) inspect(ctx context.Context, c *call[securityGroupModel]) (finding, error) {
	m := c.model
	project, err := c.project(ctx, m.Cloud, m.Region.ValueString())
	if err != nil {
		return unseenCloud(err)
	}
	spec := groupSpec(ctx, m, c.stack)
	there, err := project.FindGroup(ctx, spec)
	var refused *openstack.Error
	switch {
	case errors.Is(err, openstack.ErrConflict) && errors.As(err, &refused):
		return finding{Problem: refused.Cause}, nil
	case err != nil:
		return unseenCloud(err)
	case there == nil:
		return finding{Problem: groupGone, Absent: true}, nil
	}
	m.ID, m.ForeignRules = types.StringValue(there.ID), groupRuleTexts(spec.Foreign(*there))
	return finding{Problem: spec.Problem(*there)}, nil
}

// imported takes a group as it is: a plan then shows what the configuration has otherwise.
func (securityGroupKind) imported(ctx context.Context, c *call[securityGroupModel]) error {
	m := c.model
	project, err := c.project(ctx, m.Cloud, m.Region.ValueString())
	if err != nil {
		return err
	}
	there, adopt, err := project.ImportGroup(ctx, c.stack, m.ID.ValueString())
	if err != nil {
		return err
	}
	spec := deployed.GroupSpec{Stack: c.stack, ID: there.ID, Adopt: adopt}
	m.ID, m.Name, m.Adopt = types.StringValue(there.ID), types.StringValue(there.Name), types.BoolValue(adopt)
	m.Description = types.StringValue("")
	if !adopt {
		m.Description = types.StringValue(there.Description)
	}
	m.Rules, m.ForeignRules = ruleObjects(spec.Described(there)), groupRuleTexts(spec.Foreign(there))
	return nil
}

func (securityGroupKind) remove(ctx context.Context, c *call[securityGroupModel]) error {
	project, err := c.project(ctx, c.model.Cloud, c.model.Region.ValueString())
	if err != nil {
		return err
	}
	return project.RemoveGroup(ctx, groupSpec(ctx, c.model, c.stack))
}
