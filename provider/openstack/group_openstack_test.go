//go:build openstack

package openstack

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/cloudrc"
	cloud "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
)

// realGroup is a group's name and stack of a test's own in a real cloud.
type realGroup struct {
	*Inventory
	between *openstacktest.Between
	spec    GroupSpec
}

func newRealGroup(t *testing.T) *realGroup {
	t.Helper()
	r := &realGroup{
		between: openstacktest.NewBetween(t, openstacktest.Scalingstack, openstacktest.Lcy01),
		spec:    GroupSpec{Stack: "t-" + strings.ToLower(rand.Text()[:8]), Name: "test-" + strings.ToLower(rand.Text()[:8]), Description: "a test's"},
	}
	r.Inventory = r.again(t)
	t.Cleanup(func() {
		r.between.Spoil(nil)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		all, err := r.listGroups(ctx)
		if err != nil {
			t.Error(err)
		}
		for _, g := range all {
			if g.Name == r.spec.Name {
				if err := r.deleteGroup(ctx, g.ID); err != nil {
					t.Error(err)
				}
			}
		}
	})
	return r
}

// again is the region as another process of the provider sees it.
func (r *realGroup) again(t *testing.T) *Inventory { return inventoryOf(t, r.between.Cloud(t)) }

func inventoryOf(t *testing.T, c cloudrc.Cloud) *Inventory {
	t.Helper()
	region, err := new(cloud.Sessions).Region(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return new(Inventories).Of(region)
}

func (r *realGroup) ensure(t *testing.T) Group {
	t.Helper()
	g, err := r.EnsureGroup(t.Context(), r.spec)
	if err != nil {
		t.Fatal(err)
	}
	if problem := r.spec.Problem(g); problem != "" {
		t.Fatalf("after ensure: %s", problem)
	}
	return g
}

// named are the groups of the test's name.
func (r *realGroup) named(t *testing.T) (found []Group) {
	t.Helper()
	all, err := r.listGroups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(g Group) bool { return g.Name != r.spec.Name })
}

func (r *realGroup) add(t *testing.T, group string, rule Rule) {
	t.Helper()
	if err := r.createRule(t.Context(), ruleRequest{group: group, rule: rule, description: "by hand"}); err != nil {
		t.Fatal(err)
	}
}

func rulesOf(g Group) (rules []string) {
	for _, r := range g.Rules {
		rules = append(rules, r.Rule.String())
	}
	slices.Sort(rules)
	return rules
}

// TestOwnedGroup: rules of all kinds come back as they were asked for, and a second ensure changes nothing.
func TestOwnedGroup(t *testing.T) {
	t.Parallel()
	r := newRealGroup(t)
	for _, change := range []func(*Draft){
		func(d *Draft) { d.Ports, d.CIDR = "22", "192.0.2.7/24" },
		func(d *Draft) { d.Ports, d.CIDR = "22", "2001:db8::1" },
		func(d *Draft) { d.Protocol, d.Ports = "17", "1-65535" },
		func(d *Draft) { d.Protocol, d.ICMPType = "icmp", 0 },
		func(d *Draft) { d.Protocol, d.EtherType, d.ICMPType, d.ICMPCode = "icmp", IPv6, 128, 0 },
		func(d *Draft) { d.Protocol, d.RemoteGroup = "any", Self },
		func(d *Draft) { d.Protocol, d.CIDR = "112", "198.51.100.0/24" },
		func(d *Draft) { d.Protocol = "200" },
	} {
		r.spec.Rules = append(r.spec.Rules, WantedRule{Rule: rule(t, change), Description: "why"})
	}
	g := r.ensure(t)
	want := []string{
		"egress any to 0.0.0.0/0", "egress any to ::/0", "ingress 200 from 0.0.0.0/0", "ingress any from the group itself (IPv4)",
		"ingress icmp type 0 from 0.0.0.0/0", "ingress ipv6-icmp type 128 code 0 from ::/0", "ingress tcp 22 from 192.0.2.0/24",
		"ingress tcp 22 from 2001:db8::1/128", "ingress udp from 0.0.0.0/0", "ingress vrrp from 198.51.100.0/24",
	}
	if diff := cmp.Diff(want, rulesOf(g)); diff != "" {
		t.Error(diff)
	}
	r.between.Forget()
	if again := r.ensure(t); again.ID != g.ID {
		t.Errorf("%s became %s", g.ID, again.ID)
	}
	for _, seen := range r.between.Requests() {
		if seen.Method != http.MethodGet {
			t.Errorf("a second ensure: %s", seen)
		}
	}

	// Somebody's rule goes, ours come back, and what passes before and after is never kept out: the new rule is there first.
	r.add(t, g.ID, rule(t, func(d *Draft) { d.Ports = "23" }))
	if err := r.deleteRule(t.Context(), g.Rules[slices.IndexFunc(g.Rules, func(p PlacedRule) bool { return p.Protocol == "vrrp" })].ID); err != nil {
		t.Fatal(err)
	}
	r.between.Forget()
	if diff := cmp.Diff(want, rulesOf(r.ensure(t))); diff != "" {
		t.Error(diff)
	}
	var changes []string
	for _, seen := range r.between.Requests() {
		if seen.Method != http.MethodGet {
			changes = append(changes, seen.Method)
		}
	}
	if diff := cmp.Diff([]string{http.MethodPost, http.MethodDelete}, changes); diff != "" {
		t.Error(diff)
	}

	if err := r.RemoveGroup(t.Context(), r.spec); err != nil || len(r.named(t)) != 1 {
		t.Errorf("what is removed has a successor: %v", err)
	}
	if err := r.again(t).RemoveGroup(t.Context(), r.spec); err != nil {
		t.Fatal(err)
	}
	if left := r.named(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if err := r.again(t).RemoveGroup(t.Context(), r.spec); err != nil {
		t.Errorf("what is gone already: %v", err)
	}
}

// TestInterruptedGroup: wherever a creation is cut off, the next one finishes it, with one group.
func TestInterruptedGroup(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(openstacktest.Seen) bool{
		"after the group is made, whose answer is lost": func(s openstacktest.Seen) bool {
			return s.Method == http.MethodPost && strings.HasSuffix(s.Path, "/security-groups")
		},
		"before the tag": func(s openstacktest.Seen) bool { return strings.Contains(s.Path, "/tags/") },
		"before the name": func(s openstacktest.Seen) bool {
			return s.Method == http.MethodPut && !strings.Contains(s.Path, "/tags/")
		},
		"before the rules": func(s openstacktest.Seen) bool {
			return s.Method == http.MethodPost && strings.HasSuffix(s.Path, "-rules")
		},
		"before the last look": func(s openstacktest.Seen) bool {
			return s.Method == http.MethodGet && strings.Contains(s.Path, "/security-groups/")
		},
		"before a rule is gone": func(s openstacktest.Seen) bool { return s.Method == http.MethodDelete },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRealGroup(t)
			for _, ports := range []string{"22", "80"} {
				r.spec.Rules = append(r.spec.Rules, WantedRule{Rule: rule(t, func(d *Draft) { d.Ports = ports })})
			}
			r.spec.Rules = append(r.spec.Rules, WantedRule{Rule: rule(t, func(d *Draft) { d.Ports, d.Direction = "80", Egress })})
			direct := inventoryOf(t, openstacktest.Cloud(t, openstacktest.Scalingstack, openstacktest.Lcy01))
			var unheard sync.Once
			r.between.Spoil(func(s openstacktest.Seen, w http.ResponseWriter) bool {
				if s.Service != "network" || !cut(s) {
					return false
				}
				if s.Method == http.MethodPost && strings.HasSuffix(s.Path, "/security-groups") {
					unheard.Do(func() { // it is made, and nobody hears of it
						if _, err := direct.createGroup(t.Context(), r.spec.Name, r.spec.beginning()); err != nil {
							t.Error(err)
						}
					})
				}
				w.WriteHeader(http.StatusInternalServerError)
				return true
			})
			if _, err := r.EnsureGroup(t.Context(), r.spec); !errors.Is(err, cloud.ErrUnavailable) {
				t.Fatalf("not cut off: %v", err)
			}
			r.between.Spoil(nil)
			r.Inventory = r.again(t)
			g := r.ensure(t)
			if all := r.named(t); len(all) != 1 || all[0].ID != g.ID {
				t.Errorf("%d groups: %v", len(all), all)
			}
		})
	}
}

// TestAdoptedGroup: what others have in it stays, whatever happens to the state.
func TestAdoptedGroup(t *testing.T) {
	t.Parallel()
	r := newRealGroup(t)
	theirs, err := r.createGroup(t.Context(), r.spec.Name, "theirs")
	if err != nil {
		t.Fatal(err)
	}
	ssh, web := rule(t, func(d *Draft) { d.Ports = "22" }), rule(t, func(d *Draft) { d.Ports = "80" })
	r.add(t, theirs.ID, web)
	r.spec.Rules = []WantedRule{{Rule: ssh, Description: "for the workers"}, {Rule: web, Description: "was there before"}}
	if _, err := r.EnsureGroup(t.Context(), r.spec); !errors.Is(err, cloud.ErrConflict) || !strings.Contains(err.Error(), "adopt = true") {
		t.Fatalf("owned: %v", err)
	}
	r.spec.Adopt = true
	g := r.ensure(t)
	if foreign := strings.Join(r.spec.Foreign(g), "\n"); strings.Contains(foreign, ssh.String()) || !strings.Contains(foreign, web.String()) {
		t.Errorf("foreign:\n%s", foreign)
	}
	if g.Description != "theirs" || len(g.Tags) > 0 {
		t.Errorf("changed: %+v", g)
	}
	r.Inventory, r.spec.ID, r.spec.Rules = r.again(t), "", nil // the state is lost
	if err := r.again(t).RemoveGroup(t.Context(), r.spec); err != nil {
		t.Fatal(err)
	}
	left := r.named(t)
	if len(left) != 1 {
		t.Fatal(left)
	}
	if diff := cmp.Diff([]string{"egress any to 0.0.0.0/0", "egress any to ::/0", web.String()}, rulesOf(left[0])); diff != "" {
		t.Error(diff)
	}
}

// TestOwnedBecomesAdopted: a group that was given away keeps its rules, and its removal takes only what we added.
func TestOwnedBecomesAdopted(t *testing.T) {
	t.Parallel()
	r := newRealGroup(t)
	r.spec.Rules = []WantedRule{{Rule: rule(t, func(d *Draft) { d.Ports = "22" })}}
	r.spec.ID = r.ensure(t).ID
	r.spec.Adopt = true
	if g := r.ensure(t); len(g.Tags) > 0 || len(g.Rules) != 3 {
		t.Errorf("%+v", g)
	}
	if err := r.again(t).RemoveGroup(t.Context(), r.spec); err != nil {
		t.Fatal(err)
	}
	if left := r.named(t); len(left) != 1 || len(left[0].Rules) != 2 {
		t.Errorf("left: %+v", left)
	}
}

// TestRuleIsThere: an equal rule that somebody makes between our look and our request is no failure.
func TestRuleIsThere(t *testing.T) {
	t.Parallel()
	r := newRealGroup(t)
	r.ensure(t)
	ssh := rule(t, func(d *Draft) { d.Ports, d.CIDR = "22", "0.0.0.0/0" })
	r.spec.Rules = []WantedRule{{Rule: ssh}}
	var once sync.Once
	other := inventoryOf(t, openstacktest.Cloud(t, openstacktest.Scalingstack, openstacktest.Lcy01))
	group := r.named(t)[0].ID
	r.between.Spoil(func(s openstacktest.Seen, _ http.ResponseWriter) bool {
		if s.Method == http.MethodPost && strings.HasSuffix(s.Path, "-rules") {
			once.Do(func() {
				if err := other.createRule(t.Context(), ruleRequest{group: group, rule: ssh}); err != nil {
					t.Error(err)
				}
			})
		}
		return false
	})
	if g := r.ensure(t); len(g.Rules) != 3 {
		t.Errorf("%v", rulesOf(g))
	}
}

// TestGroupInUse: a removal waits, and then tells who is in the way.
func TestGroupInUse(t *testing.T) {
	t.Parallel()
	r := newRealGroup(t)
	g := r.ensure(t)
	var port *ports.Port
	if err := r.Do(t.Context(), cloud.Network, func(client *gophercloud.ServiceClient) error {
		all, err := networks.List(client, networks.ListOpts{}).AllPages(t.Context())
		if err != nil {
			return err
		}
		found, err := networks.ExtractNetworks(all)
		if err != nil {
			return err
		}
		own := slices.IndexFunc(found, func(n networks.Network) bool { return n.ProjectID == cloud.ProjectOf(client) })
		port, err = ports.Create(t.Context(), client, ports.CreateOpts{NetworkID: found[max(own, 0)].ID, Name: r.spec.Name, SecurityGroups: &[]string{g.ID}}).Extract()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	remove := func() {
		_ = r.Do(context.Background(), cloud.Network, func(client *gophercloud.ServiceClient) error {
			return ports.Delete(context.Background(), client, port.ID).Err
		})
	}
	defer remove()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := r.again(t).RemoveGroup(ctx, r.spec)
	if !errors.Is(err, cloud.ErrConflict) || ctx.Err() != nil {
		t.Fatalf("in use: %v, %v", err, ctx.Err())
	}
	for _, part := range []string{g.ID, "in use by port " + port.ID + " (" + r.spec.Name + ")", "openstack server remove security group"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("«%v» lacks «%s»", err, part)
		}
	}
	time.AfterFunc(3*time.Second, remove)
	if err := r.again(t).RemoveGroup(t.Context(), r.spec); err != nil {
		t.Errorf("not waited for: %v", err)
	}
}
