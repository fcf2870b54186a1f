package openstack

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	cloud "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

func rule(t *testing.T, change func(*Draft)) Rule {
	t.Helper()
	r, err := NewRule(draft(change))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func placed(id, description string, r Rule) PlacedRule {
	return PlacedRule{Rule: r, ID: id, Description: description}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	ours := Group{ID: "1", Name: "web", Tags: []string{"x", Mark("s")}}
	begun := Group{ID: "2", Name: "web", Description: GroupSpec{Stack: "s"}.beginning()}
	theirs := Group{ID: "3", Name: "web"}
	others := Group{ID: "4", Name: "web", Tags: []string{Mark("other")}}
	elsewhere := Group{ID: "5", Name: "broker", Tags: []string{Mark("s")}}
	for _, c := range []struct {
		name   string
		adopt  bool
		id     string
		groups []Group
		want   string
		says   string
	}{
		{name: "none", groups: []Group{elsewhere}},
		{name: "ours", groups: []Group{elsewhere, ours}, want: "1"},
		{name: "begun, and not tagged yet", groups: []Group{begun}, want: "2"},
		{name: "theirs", groups: []Group{theirs}, says: "web (3) that the stack s has not made: set adopt = true"},
		{name: "theirs, adopted", adopt: true, groups: []Group{theirs}, want: "3"},
		{name: "another stack's", groups: []Group{others}, says: "(4) is the stack other's"},
		{name: "another stack's, adopted", adopt: true, groups: []Group{others}, says: "(4) is the stack other's"},
		{name: "two", groups: []Group{theirs, ours}, says: "there are 2 security groups of the name web: 1, 3"},
		{name: "two to adopt", adopt: true, groups: []Group{theirs, ours}, says: "1, 3: remove or rename all but one, or import"},
		{name: "two, and one is known", id: "3", groups: []Group{ours, theirs}, want: "3"},
		{name: "known, and renamed", id: "5", groups: []Group{ours, elsewhere}, want: "5"},
		{name: "known and gone, and made again", id: "9", groups: []Group{ours}, want: "1"},
	} {
		got, err := GroupSpec{Stack: "s", Name: "web", ID: c.id, Adopt: c.adopt}.choose(new(cloud.Region), c.groups)
		switch {
		case c.says != "":
			if !errors.Is(err, cloud.ErrConflict) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: «%v» lacks «%s»", c.name, err, c.says)
			}
		case err != nil || (got == nil) != (c.want == "") || got != nil && got.ID != c.want:
			t.Errorf("%s: %v, %v instead of %s", c.name, got, err, c.want)
		}
	}
}

// TestOurs: a removal is about what is ours, whatever else has its name.
func TestOurs(t *testing.T) {
	t.Parallel()
	all := []Group{{ID: "1", Name: "web", Tags: []string{Mark("s")}}, {ID: "2", Name: "web"}, {ID: "3", Name: "web", Tags: []string{Mark("o")}}}
	for _, c := range []struct {
		spec GroupSpec
		want string
	}{
		{GroupSpec{}, "1"}, {GroupSpec{ID: "9"}, "1"}, {GroupSpec{ID: "2"}, "2"}, {GroupSpec{Adopt: true}, "1, 2, 3"},
		{GroupSpec{Adopt: true, ID: "2"}, "2"},
	} {
		c.spec.Stack, c.spec.Name = "s", "web"
		if got := ids(c.spec.ours(all)); got != c.want {
			t.Errorf("%+v: %s instead of %s", c.spec, got, c.want)
		}
	}
}

func TestDifference(t *testing.T) {
	t.Parallel()
	ssh := rule(t, func(d *Draft) { d.Ports = "22" })
	web := rule(t, func(d *Draft) { d.Ports = "80" })
	out := rule(t, func(d *Draft) { d.Ports, d.Direction = "443", Egress })
	self := rule(t, func(d *Draft) { d.RemoteGroup = Self })
	usual := []PlacedRule{placed("4", "", DefaultEgress()[0]), placed("6", "", DefaultEgress()[1])}
	for _, c := range []struct {
		name      string
		adopt     bool
		want      []WantedRule
		there     []PlacedRule
		add       []string
		remove    []string
		remake    []string
		foreign   []string
		isProblem bool
	}{
		{name: "a new group", want: []WantedRule{{Rule: ssh}}, there: usual, add: []string{ssh.String()}, isProblem: true},
		{name: "nothing to do", want: []WantedRule{{Rule: ssh}}, there: append(usual[:2:2], placed("1", Mark("s"), ssh))},
		{name: "an equal rule of somebody's", want: []WantedRule{{Rule: ssh}}, there: append(usual[:2:2], placed("1", "", ssh))},
		{name: "a stranger's rule", want: nil, there: append(usual[:2:2], placed("1", "", ssh)), remove: []string{ssh.String() + " (rule 1)"},
			isProblem: true},
		{name: "one of two that are the same", want: []WantedRule{{Rule: ssh}}, there: append(usual[:2:2], placed("1", "", ssh), placed("2", "", ssh)),
			remove: []string{ssh.String() + " (rule 2)"}, isProblem: true},
		{name: "egress is the configuration's", want: []WantedRule{{Rule: out}}, there: usual, add: []string{out.String()},
			remove: []string{usual[0].String(), usual[1].String()}, isProblem: true},
		{name: "the default egress is gone", there: usual[:1], add: []string{DefaultEgress()[1].String()}, isProblem: true},
		{name: "the group's own id is self", want: []WantedRule{{Rule: func() Rule { r := self; r.RemoteGroup = "17"; return r }()}},
			there: append(usual[:2:2], placed("1", "", self))},
		{name: "another description", want: []WantedRule{{ssh, "new"}}, there: append(usual[:2:2], placed("1", withMark("old", "s"), ssh)),
			remake: []string{ssh.String() + " (rule 1)"}},

		{name: "adopted", adopt: true, want: []WantedRule{{Rule: ssh}}, there: []PlacedRule{placed("1", "", web)}, add: []string{ssh.String()},
			foreign: []string{web.String() + " (rule 1)"}, isProblem: true},
		{name: "adopted, it was there before", adopt: true, want: []WantedRule{{ssh, "x"}}, there: []PlacedRule{placed("1", "theirs", ssh)},
			foreign: []string{ssh.String() + " (rule 1)"}},
		{name: "adopted, one of ours is wanted no more", adopt: true, want: []WantedRule{{Rule: ssh}},
			there:  []PlacedRule{placed("1", withMark("x", "s"), web), placed("2", Mark("s"), ssh), placed("3", Mark("other"), out)},
			remove: []string{web.String() + " (rule 1)"}, foreign: []string{out.String() + " (rule 3)"}, isProblem: true},
	} {
		s := GroupSpec{Stack: "s", Name: "web", Rules: c.want, Adopt: c.adopt}
		g := Group{ID: "17", Name: "web", Tags: []string{Mark("s")}, Rules: c.there}
		d := s.difference(g)
		var remake []string
		for _, r := range d.remake {
			remake = append(remake, r.old.String())
		}
		got := [][]string{texts(d.add), texts(d.remove), remake, s.Foreign(g)}
		if diff := cmp.Diff([][]string{c.add, c.remove, c.remake, c.foreign}, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		if problem := s.Problem(g); (problem != "") != c.isProblem {
			t.Errorf("%s: «%s»", c.name, problem)
		}
	}
}

func TestGroupProblem(t *testing.T) {
	t.Parallel()
	s := GroupSpec{Stack: "s", Name: "web", Description: "x", Rules: []WantedRule{{Rule: rule(t, func(d *Draft) { d.Ports = "80" })}}}
	g := Group{ID: "17", Name: "www", Description: "y", Rules: []PlacedRule{placed("1", "", rule(t, func(d *Draft) { d.Ports = "22" }))}}
	const want = `it is called www; its description is "y"; the tag autopkgtest-cloud=s is missing; ` +
		`missing: egress any to 0.0.0.0/0, egress any to ::/0, ingress tcp 80 from 0.0.0.0/0; ` +
		`not in the configuration: ingress tcp 22 from 0.0.0.0/0 (rule 1)`
	if got := s.Problem(g); got != want {
		t.Errorf("«%s»", got)
	}
	s.Adopt, s.Rules = true, nil
	if got := s.Problem(g); got != "" {
		t.Errorf("an adopted group: «%s»", got)
	}
}

// TestDescribed: what an import writes makes the same group.
func TestDescribed(t *testing.T) {
	t.Parallel()
	web := rule(t, func(d *Draft) { d.Ports = "80" })
	usual := []PlacedRule{placed("4", "", DefaultEgress()[0]), placed("6", "", DefaultEgress()[1])}
	for _, c := range []struct {
		name  string
		adopt bool
		there []PlacedRule
		want  []WantedRule
	}{
		{"default egress is not said", false, append(usual[:2:2], placed("1", withMark("x", "s"), web)), []WantedRule{{web, "x"}}},
		{"half of it is", false, usual[:1], []WantedRule{{Rule: usual[0].Rule}}},
		{"only what we added", true, append(usual[:2:2], placed("1", Mark("s"), web)), []WantedRule{{web, ""}}},
	} {
		s := GroupSpec{Stack: "s", Adopt: c.adopt}
		g := Group{ID: "17", Rules: c.there}
		got := s.Described(g)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		s.Rules = got
		if d := s.difference(g); !d.empty() {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
}

func TestDuplicate(t *testing.T) {
	t.Parallel()
	one, other := rule(t, func(d *Draft) { d.Ports = "22" }), rule(t, func(d *Draft) { d.Ports = "23" })
	if i, j, found := Duplicate([]WantedRule{{Rule: other}, {one, "a"}, {one, "b"}}); !found || i != 1 || j != 2 {
		t.Error(i, j, found)
	}
	if _, _, found := Duplicate([]WantedRule{{Rule: other}, {Rule: one}}); found {
		t.Error("two that differ")
	}
}

// TestAnswers: what Neutron says of a rule is brought into the form that drafts have.
func TestAnswers(t *testing.T) {
	t.Parallel()
	number, word := func(n int) *int { return &n }, func(s string) *string { return &s }
	for _, c := range []struct {
		answer ruleAnswer
		want   string
	}{
		{ruleAnswer{Direction: Ingress, EtherType: IPv4, Protocol: word("6"), First: number(22), Last: number(22), CIDR: word("0.0.0.0/0")},
			"ingress tcp 22 from 0.0.0.0/0"},
		{ruleAnswer{Direction: Ingress, EtherType: IPv6, Protocol: word("icmp"), First: number(0)}, "ingress ipv6-icmp type 0 from ::/0"},
		{ruleAnswer{Direction: Ingress, EtherType: IPv4, Protocol: word("udp"), First: number(1), Last: number(65535), CIDR: word("192.0.2.9/24")},
			"ingress udp from 192.0.2.0/24"},
		{ruleAnswer{Direction: Ingress, EtherType: IPv4, RemoteGroup: word("17")}, "ingress any from the group itself (IPv4)"},
		{ruleAnswer{Direction: Egress, EtherType: IPv4, AddressGroup: word("a")}, "egress any to address group a (IPv4)"},
		{ruleAnswer{Direction: Ingress, EtherType: IPv4, Protocol: word("hopopt")}, "ingress hopopt from 0.0.0.0/0"},
	} {
		if got := c.answer.rule("17").String(); got != c.want {
			t.Errorf("«%s» instead of «%s»", got, c.want)
		}
	}
}
