package openstack

import (
	"fmt"
	"slices"
	"strings"

	cloud "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// DefaultGroup is the name of the group that every project has. Servers that name none are in it, and nobody can remove it.
const DefaultGroup = "default"

// Group is a security group as it is in the cloud.
type Group struct {
	ID          string
	Name        string
	Description string
	Tags        []string
	Rules       []PlacedRule
}

// PlacedRule is a rule of a group in the cloud. A RemoteGroup that is the rule's own group is Self.
type PlacedRule struct {
	Rule
	ID, Description string
}

// String names a rule so that it can be found.
func (r PlacedRule) String() string { return r.Rule.String() + " (rule " + r.ID + ")" }

// WantedRule is a rule with what it is for.
type WantedRule struct {
	Rule
	Description string
}

// GroupSpec is a group as it shall be.
type GroupSpec struct {
	// Stack is whose it is.
	Stack string
	// ID is that of a group that is known; empty for one that is found by its name, or made.
	ID, Name, Description string
	// Rules are all of an owned group. Where none of them is about egress, DefaultEgress belongs to them.
	Rules []WantedRule
	// Adopt says that the group is somebody else's: Rules are added to it, and all that is not ours stays as it is.
	Adopt bool
}

// String names the group for messages.
func (s GroupSpec) String() string { return "the security group " + s.Name }

// beginning is the description of a group of ours that has no tag yet: making and tagging it are two requests.
func (s GroupSpec) beginning() string { return Mark(s.Stack) + " is making this group" }

// made says whether the stack has made a group.
func (s GroupSpec) made(g Group) bool {
	stack, marked := markedStack(g.Tags)
	return marked && stack == s.Stack || !marked && g.Description == s.beginning()
}

// wanted are the rules that an ensured group has, the group's own id being Self.
func (s GroupSpec) wanted(id string) []WantedRule {
	var rules []WantedRule
	egress := s.Adopt
	for _, r := range s.Rules {
		if r.RemoteGroup == id {
			r.RemoteGroup = Self
		}
		egress = egress || r.Direction == Egress
		rules = append(rules, r)
	}
	if !egress {
		for _, r := range DefaultEgress() {
			rules = append(rules, WantedRule{Rule: r})
		}
	}
	return rules
}

// Duplicate finds two rules that are the same one.
func Duplicate(rules []WantedRule) (first, second int, found bool) {
	at := map[Rule]int{}
	for i, r := range rules {
		if j, there := at[r.Rule]; there {
			return j, i, true
		}
		at[r.Rule] = i
	}
	return 0, 0, false
}

// choose finds the group among those of the project; nil if it is not there. region is where, for the refusal of what looks like it
// and is not: another's group, or several.
func (s GroupSpec) choose(region *cloud.Region, groups []Group) (*Group, error) {
	var mine, others []Group
	for _, g := range groups {
		switch {
		case s.ID != "" && g.ID == s.ID:
			return &g, nil
		case g.Name != s.Name:
		case s.made(g):
			mine = append(mine, g)
		default:
			others = append(others, g)
		}
	}
	all := slices.Concat(mine, others)
	refused := func(cause, wayOut string) (*Group, error) {
		return nil, region.NewError(cloud.ErrConflict, cloud.Network, cause, wayOut)
	}
	switch {
	case len(all) == 0:
		return nil, nil
	case len(all) > 1:
		return refused(fmt.Sprintf("there are %d security groups of the name %s: %s", len(all), s.Name, ids(all)),
			"remove or rename all but one, or import the one that is meant, as REGION,ID")
	case len(mine) == 1:
		return &mine[0], nil
	}
	if stack, marked := markedStack(others[0].Tags); marked {
		return refused(fmt.Sprintf("the security group %s (%s) is the stack %s's, which removes all rules that are not its own",
			s.Name, others[0].ID, stack), "write the rules there, or use another name")
	}
	if !s.Adopt {
		return refused(fmt.Sprintf("there is a security group %s (%s) that the stack %s has not made", s.Name, others[0].ID, s.Stack),
			"set adopt = true to add rules to it and leave it otherwise alone, or import it to own it with all its rules, "+
				"or use another name")
	}
	return &others[0], nil
}

// ours are the groups that a removal is about: the one that is known; if that is gone, or none is known, those of the name that the stack
// has made, or has added to.
func (s GroupSpec) ours(groups []Group) (ours []Group) {
	for _, g := range groups {
		if s.ID != "" && g.ID == s.ID {
			return []Group{g}
		}
		if g.Name == s.Name && (s.Adopt || s.made(g)) {
			ours = append(ours, g)
		}
	}
	return ours
}

func ids(groups []Group) string {
	var texts []string
	for _, g := range groups {
		texts = append(texts, g.ID)
	}
	slices.Sort(texts)
	return strings.Join(texts, ", ")
}

// difference is what makes a group's rules those of a spec.
type difference struct {
	add    []WantedRule
	remove []PlacedRule
	// remake are rules that are described otherwise. Neutron has no two equal ones, so the old one goes first.
	remake []remade
}

func (d difference) empty() bool { return len(d.add)+len(d.remove)+len(d.remake) == 0 }

type remade struct {
	old PlacedRule
	new WantedRule
}

func (s GroupSpec) difference(g Group) (d difference) {
	wanted := map[Rule]WantedRule{}
	var order []Rule
	for _, r := range s.wanted(g.ID) {
		if _, twice := wanted[r.Rule]; !twice {
			order = append(order, r.Rule)
		}
		wanted[r.Rule] = r
	}
	there := map[Rule]bool{}
	for _, placed := range g.Rules {
		want, is := wanted[placed.Rule]
		text, ours := cutMark(placed.Description, s.Stack)
		switch ours = ours || !s.Adopt; {
		case is && !there[placed.Rule]:
			there[placed.Rule] = true
			if ours && text != want.Description {
				d.remake = append(d.remake, remade{old: placed, new: want})
			}
		case ours:
			d.remove = append(d.remove, placed)
		}
	}
	for _, r := range order {
		if !there[r] {
			d.add = append(d.add, wanted[r])
		}
	}
	return d
}

// Problem is a sentence about what is wrong with a group; empty if all is well.
func (s GroupSpec) Problem(g Group) string {
	var faults []string
	if !s.Adopt {
		if g.Name != s.Name {
			faults = append(faults, "it is called "+g.Name)
		}
		if g.Description != s.Description {
			faults = append(faults, fmt.Sprintf("its description is %q", g.Description))
		}
		if stack, _ := markedStack(g.Tags); stack != s.Stack {
			faults = append(faults, "the tag "+Mark(s.Stack)+" is missing")
		}
	}
	d := s.difference(g)
	if texts := texts(d.add); len(texts) > 0 {
		faults = append(faults, "missing: "+strings.Join(texts, ", "))
	}
	if texts := texts(d.remove); len(texts) > 0 {
		faults = append(faults, "not in the configuration: "+strings.Join(texts, ", "))
	}
	return strings.Join(faults, "; ")
}

func texts[T fmt.Stringer](rules []T) []string {
	var all []string
	for _, r := range rules {
		all = append(all, r.String())
	}
	slices.Sort(all)
	return all
}

// Foreign are the rules of an adopted group that are not ours, in order: others added them, or they were there before. An owned group
// has none.
func (s GroupSpec) Foreign(g Group) []string {
	var foreign []PlacedRule
	for _, r := range g.Rules {
		if _, ours := cutMark(r.Description, s.Stack); s.Adopt && !ours {
			foreign = append(foreign, r)
		}
	}
	return texts(foreign)
}

// Described are a group's rules as a spec would have them, for an import: all but the default ones, and those about address groups, which
// a spec cannot have; of a group that is not owned, only those that the stack has added.
func (s GroupSpec) Described(g Group) []WantedRule {
	var rules []WantedRule
	egress := 0
	usual := DefaultEgress()
	for _, r := range g.Rules {
		text, ours := cutMark(r.Description, s.Stack)
		if s.Adopt && !ours || r.AddressGroup != "" {
			continue
		}
		if r.Direction == Egress {
			egress++
			usual = slices.DeleteFunc(usual, func(u Rule) bool { return u == r.Rule })
		}
		rules = append(rules, WantedRule{Rule: r.Rule, Description: text})
	}
	if !s.Adopt && len(usual) == 0 && egress == len(DefaultEgress()) {
		rules = slices.DeleteFunc(rules, func(r WantedRule) bool { return r.Direction == Egress })
	}
	slices.SortFunc(rules, func(a, b WantedRule) int { return strings.Compare(a.String(), b.String()) })
	return rules
}
