//go:build acceptance && openstack

package provider

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/attributestags"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/cloudrc"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
)

const groupAddress = "autopkgtest_security_group.test"

// groupTest is a test's own part of the real cloud.
type groupTest struct {
	t       *testing.T
	between *openstacktest.Between
	rc      string
	stack   string
	name    string
	region  *openstack.Region // without anybody between
}

func newGroupTest(t *testing.T) *groupTest {
	t.Helper()
	return newGroupTestIn(t, openstacktest.Cloud(t, openstacktest.Scalingstack, openstacktest.Lcy01),
		openstacktest.NewBetween(t, openstacktest.Scalingstack, openstacktest.Lcy01))
}

// newGroupTestIn is one in the project of a cloud's account, which Terraform reaches through between.
func newGroupTestIn(t *testing.T, account cloudrc.Cloud, between *openstacktest.Between) *groupTest {
	t.Helper()
	random := func() string { return strings.ToLower(rand.Text()[:10]) }
	g := &groupTest{t: t, between: between, rc: between.RCFile(t, nil), stack: "t" + random(), name: "test-" + random()}
	var err error
	g.region, err = new(openstack.Sessions).Region(account, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.between.Spoil(nil)
		for _, there := range g.named(g.name) {
			g.do(func(ctx context.Context, client *gophercloud.ServiceClient) error {
				return groups.Delete(ctx, client, there.ID).Err
			})
		}
	})
	return g
}

// configuration has a group of the test's name, with more attributes in it.
func (g *groupTest) configuration(attributes string, arguments ...any) string {
	return g.group(g.rc, fmt.Sprintf("  name = %q\n", g.name)+fmt.Sprintf(attributes, arguments...))
}

func (g *groupTest) group(rc, attributes string) string {
	return g.provider() + fmt.Sprintf(`
resource "autopkgtest_security_group" "test" {
  cloud = { rc_file = %q }
  %s
}
`, rc, attributes)
}

func (g *groupTest) provider() string {
	return fmt.Sprintf("provider \"autopkgtest\" {\n  stack = %q\n}\n", g.stack)
}

func (g *groupTest) do(call func(context.Context, *gophercloud.ServiceClient) error) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := g.region.Do(ctx, openstack.Network, func(client *gophercloud.ServiceClient) error { return call(ctx, client) })
	if err != nil && !errors.Is(err, openstack.ErrNotFound) { // a removal whose answer was lost is asked for again
		g.t.Error(err)
	}
}

func (g *groupTest) named(name string) (found []groups.SecGroup) {
	g.t.Helper()
	g.do(func(ctx context.Context, client *gophercloud.ServiceClient) error {
		all, err := groups.List(client, groups.ListOpts{Name: name}).AllPages(ctx)
		if err == nil {
			found, err = groups.ExtractGroups(all)
		}
		return err
	})
	return found
}

func (g *groupTest) id(name string) string {
	g.t.Helper()
	found := g.named(name)
	if len(found) != 1 {
		g.t.Errorf("%d groups %s", len(found), name)
		return "none"
	}
	return found[0].ID
}

// add adds a rule by hand: TCP from everybody.
func (g *groupTest) add(name string, port int) {
	g.t.Helper()
	group := g.id(name)
	g.do(func(ctx context.Context, client *gophercloud.ServiceClient) error {
		return rules.Create(ctx, client, rules.CreateOpts{
			Direction: rules.DirIngress, EtherType: rules.EtherType4, SecGroupID: group, Protocol: rules.ProtocolTCP,
			PortRangeMin: port, PortRangeMax: port,
		}).Err
	})
}

func (g *groupTest) drop(name string, is func(rules.SecGroupRule) bool) {
	g.t.Helper()
	for _, group := range g.named(name) {
		for _, r := range group.Rules {
			if is(r) {
				g.do(func(ctx context.Context, client *gophercloud.ServiceClient) error {
					return rules.Delete(ctx, client, r.ID).Err
				})
			}
		}
	}
}

// has checks the ports of a group's rules, in order, 0 being those without: as many as there are rules.
func (g *groupTest) has(name string, want ...int) resource.TestCheckFunc {
	return func(*terraform.State) error {
		var got []int
		for _, group := range g.named(name) {
			for _, r := range group.Rules {
				got = append(got, r.PortRangeMin)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			return fmt.Errorf("the rules of %s have the ports %v, and not %v", name, got, want)
		}
		return nil
	}
}

func attribute(name, pattern string) resource.TestCheckFunc {
	return resource.TestMatchResourceAttr(groupAddress, name, regexp.MustCompile(pattern))
}

// failing is a step that is refused.
func failing(configuration, says string) resource.TestStep {
	return resource.TestStep{Config: configuration, ExpectError: words(says)}
}

func TestAccOpenStackSecurityGroup(t *testing.T) {
	t.Parallel()
	g := newGroupTest(t)
	const ruleText = `
  description = "of a test"
  rules = [
    { protocol = "tcp", ports = "8080", cidr = "192.0.2.7/24", description = "the proxy" },
    { protocol = "icmp", icmp_type = 8 },
    { protocol = "any", remote_group = "self" },
  ]
  presets = { testbed = { from = ["198.51.100.7", "2001:db8::/32"] } }
`
	first := g.configuration(ruleText)
	kept := ""
	same := func(*terraform.State) error {
		if id := g.id(g.name); kept != "" && id != kept {
			return fmt.Errorf("it is another group")
		} else {
			kept = id
		}
		return nil
	}
	steps := []resource.TestStep{{
		Config: first,
		Check: resource.ComposeTestCheckFunc(same, g.has(g.name, 0, 0, 0, 8, 22, 22, 8080), attribute("region", "^lcy01$"),
			attribute("status", "^in place$"), attribute("foreign_rules.#", "^0$"), attribute("adopt", "^false$")),
	}}
	for _, damage := range []struct {
		says string
		do   func()
	}{
		{`missing: ingress tcp 8080 from 192.0.2.0/24$`, func() {
			g.drop(g.name, func(r rules.SecGroupRule) bool { return r.PortRangeMin == 8080 })
		}},
		{`not in the configuration: ingress tcp 23 from 0.0.0.0/0 \(rule \S+\)$`, func() { g.add(g.name, 23) }},
		{`missing: egress any to ::/0$`, func() {
			g.drop(g.name, func(r rules.SecGroupRule) bool { return r.Direction == "egress" && r.EtherType == "IPv6" })
		}},
		{`its description is "theirs"`, func() {
			text, id := "theirs", g.id(g.name)
			g.do(func(ctx context.Context, client *gophercloud.ServiceClient) error {
				return groups.Update(ctx, client, id, groups.UpdateOpts{Description: &text}).Err
			})
		}},
		{`it is called theirs-`, func() {
			id := g.id(g.name)
			g.do(func(ctx context.Context, client *gophercloud.ServiceClient) error {
				return groups.Update(ctx, client, id, groups.UpdateOpts{Name: "theirs-" + g.name}).Err
			})
		}},
		{`the tag autopkgtest-cloud=\S+ is missing`, func() {
			id := g.id(g.name)
			g.do(func(ctx context.Context, client *gophercloud.ServiceClient) error {
				return attributestags.DeleteAll(ctx, client, "security-groups", id).Err
			})
		}},
	} {
		steps = append(steps, repaired(groupAddress, damage.says, first, damage.do)...)
		steps[len(steps)-1].Check = resource.ComposeTestCheckFunc(same, g.has(g.name, 0, 0, 0, 8, 22, 22, 8080))
	}
	steps = append(steps, repaired(groupAddress, "^the security group is gone", first, func() {
		id := g.id(g.name)
		g.do(func(ctx context.Context, client *gophercloud.ServiceClient) error {
			return groups.Delete(ctx, client, id).Err
		})
		kept = ""
	})...)
	steps[len(steps)-1].Check = resource.ComposeTestCheckFunc(same, g.has(g.name, 0, 0, 0, 8, 22, 22, 8080))
	second := g.configuration(`
  rules   = [{ direction = "egress", protocol = "udp", ports = "53", ethertype = "IPv6" }]
  presets = { broker = { from_groups = ["self"] }, web = {} }
`)
	renamed := strings.ReplaceAll(second, g.name, "x"+g.name)
	steps = append(steps,
		resource.TestStep{ // the rules that let everything out have gone with the first one about egress
			Config: second, Check: resource.ComposeTestCheckFunc(same, g.has(g.name, 53, 80, 80, 443, 443, 5671), attribute("description", "^$")),
		},
		resource.TestStep{Config: renamed, Check: func(*terraform.State) error {
			if id := g.id("x" + g.name); id != kept {
				return errors.New("it is another group")
			}
			return nil
		}},
		resource.TestStep{Config: second, Check: same},
		resource.TestStep{ // written otherwise, it is the same
			Config: g.configuration(`
  rules = [
    { protocol = "6", ports = "5671-5672", remote_group = "self" }, { protocol = "tcp", ports = "80" }, { protocol = "TCP", ports = "443-443" },
    { protocol = "tcp", ports = "80", cidr = "::/0" }, { protocol = "tcp", ports = "443", ethertype = "IPv6" },
    { direction = "egress", protocol = "17", ports = "53", cidr = "::/0" },
  ]
`),
			Check: resource.ComposeTestCheckFunc(same, g.has(g.name, 53, 80, 80, 443, 443, 5671)),
		},
		resource.TestStep{
			Config: second, Taint: []string{groupAddress},
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PreApply:             []plancheck.PlanCheck{onlyReplaces{groupAddress}},
				PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			},
			Check: g.has(g.name, 53, 80, 80, 443, 443, 5671),
		},
	)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	if left := g.named(g.name); len(left) > 0 {
		t.Errorf("after the destroy: %v", left)
	}
}

// TestAccOpenStackSecurityGroupImport is alone: an import has its credentials from the environment, which is the whole process's.
func TestAccOpenStackSecurityGroupImport(t *testing.T) {
	g := newGroupTest(t)
	c := g.between.Cloud(t)
	for name, value := range map[string]string{
		"OS_AUTH_URL": c.AuthURL, "OS_USERNAME": c.Username, "OS_PASSWORD": c.Password.Reveal(), "OS_PROJECT_NAME": c.ProjectName,
		"OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_NAME": "Default", "OS_REGION_NAME": c.Region, "OS_CLOUD": "",
	} {
		t.Setenv(name, value)
	}
	configuration := strings.ReplaceAll(g.configuration(`
  description = "imported"
  rules = [
    { direction = "ingress", ethertype = "IPv4", protocol = "any", remote_group = "self", description = "among them" },
    { direction = "ingress", ethertype = "IPv4", protocol = "icmp", icmp_type = 8, icmp_code = 0 },
    { direction = "ingress", ethertype = "IPv4", protocol = "tcp", ports = "22", cidr = "192.0.2.0/24" },
  ]
`), fmt.Sprintf("cloud = { rc_file = %q }", g.rc), "")
	verified := func(id func() string) resource.TestStep {
		return resource.TestStep{
			Config: configuration, ResourceName: groupAddress, ImportState: true, ImportStateVerify: true,
			ImportStateIdFunc: func(*terraform.State) (string, error) { return "lcy01," + id(), nil },
		}
	}
	nowhere := verified(func() string { return "nobody's" })
	nowhere.ExpectError = words(`there is no security group with the id or the name nobody's`)
	nowhere.ImportStateVerify = false
	twice := verified(func() string {
		g.do(func(ctx context.Context, client *gophercloud.ServiceClient) error {
			return groups.Create(ctx, client, groups.CreateOpts{Name: g.name}).Err
		})
		return g.name
	})
	twice.ExpectError = words(`there are 2 security groups of the name`)
	twice.ImportStateVerify = false
	kept := ""
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: configuration, Check: func(*terraform.State) error { kept = g.id(g.name); return nil }},
		verified(func() string { return g.name }),
		verified(func() string { return kept }),
		nowhere,
		twice,
		verified(func() string { return kept }), // the id says which of the two
		{Config: configuration, PlanOnly: true},
	}})
	if left := g.named(g.name); len(left) != 1 || left[0].ID == kept {
		t.Errorf("left: %v", left)
	}
}

func TestAccOpenStackSecurityGroupAdopted(t *testing.T) {
	t.Parallel()
	g := newGroupTest(t)
	g.do(func(ctx context.Context, client *gophercloud.ServiceClient) error {
		return groups.Create(ctx, client, groups.CreateOpts{Name: g.name, Description: "theirs"}).Err
	})
	g.add(g.name, 9000)
	const ssh = `{ protocol = "tcp", ports = "22" }, { protocol = "tcp", ports = "9000" }`
	adopted := g.configuration("  adopt = true\n  rules = [" + ssh + "]\n")
	steps := []resource.TestStep{
		failing(g.configuration("  rules = ["+ssh+"]\n"), `has not made: set adopt = true|has not made`),
		{Config: adopted, Check: resource.ComposeTestCheckFunc(g.has(g.name, 0, 0, 22, 9000), attribute("foreign_rules.#", "^3$"))},
		{ // what others add is told, and nobody's business
			PreConfig: func() { g.add(g.name, 9001) }, RefreshState: true, Check: attribute("foreign_rules.#", "^4$"),
		},
		{Config: adopted, PlanOnly: true},
	}
	steps = append(steps, repaired(groupAddress, "missing: ingress tcp 22", adopted, func() {
		g.drop(g.name, func(r rules.SecGroupRule) bool { return r.PortRangeMin == 22 })
	})...)
	steps = append(steps,
		resource.TestStep{ // one of ours goes, one of theirs that is like ours stays
			Config: g.configuration("  adopt = true\n  rules = [{ protocol = \"tcp\", ports = \"2222\" }]\n"),
			Check:  g.has(g.name, 0, 0, 2222, 9000, 9001),
		},
		resource.TestStep{Config: g.configuration("  adopt = true\n"), Destroy: true},
		resource.TestStep{Config: g.provider(), Check: g.has(g.name, 0, 0, 9000, 9001)},
		resource.TestStep{Config: adopted},
		resource.TestStep{ // taken over
			Config: g.configuration("  adopt = false\n  rules = [" + ssh + "]\n"),
			Check:  resource.ComposeTestCheckFunc(g.has(g.name, 0, 0, 22, 9000), attribute("foreign_rules.#", "^0$"), attribute("description", "^$")),
		},
		resource.TestStep{Config: adopted, Check: resource.ComposeTestCheckFunc(g.has(g.name, 0, 0, 22, 9000), attribute("foreign_rules.#", "^3$"))}, // given away
	)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	if err := g.has(g.name, 0, 0, 9000)(nil); err != nil {
		t.Errorf("after the destroy: %v", err)
	}
}

// TestAccOpenStackSecurityGroupDefault adds the one rule that the group default lacks, and takes it away again: whatever else is in the
// group, before or meanwhile, stays.
func TestAccOpenStackSecurityGroupDefault(t *testing.T) {
	t.Parallel()
	p := openstacktest.NewProject(t, openstacktest.Lcy01)
	g := newGroupTestIn(t, openstacktest.ReadRC(t, p.RC), p.Between())
	ids := func() (all []string) {
		for _, group := range g.named("default") {
			for _, r := range group.Rules {
				all = append(all, r.ID)
			}
		}
		return all
	}
	theirs := ids()
	if len(theirs) != 4 {
		t.Fatalf("the group default begins with %d rules", len(theirs))
	}
	// beside wants theirs, and so many of ours.
	beside := func(ours int) resource.TestCheckFunc {
		return func(*terraform.State) error {
			now := ids()
			gone := slices.DeleteFunc(slices.Clone(theirs), func(id string) bool { return slices.Contains(now, id) })
			if len(gone) > 0 || len(now) != len(theirs)+ours {
				return fmt.Errorf("%d rules of theirs are gone, and there are %d, want %d and %d of ours", len(gone), len(now), len(theirs), ours)
			}
			return nil
		}
	}
	attributes := `
  name  = "default"
  adopt = true
  rules = [{ protocol = "tcp", ports = "22", cidr = "203.0.113.77", description = "ssh from the worker" }]
`
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		failing(g.group(g.rc, `name = "default"`), `The group default can only be adopted`),
		{Config: g.group(g.rc, attributes), Check: resource.ComposeTestCheckFunc(beside(1), attribute("foreign_rules.#", "^4$"))},
		{
			PreConfig: func() {
				before := ids()
				g.add("default", 9000)
				for _, id := range ids() {
					if !slices.Contains(before, id) {
						theirs = append(theirs, id)
					}
				}
			},
			RefreshState: true, Check: attribute("foreign_rules.#", "^5$"),
		},
		{Config: strings.Replace(g.group(g.rc, attributes), "203.0.113.77", "203.0.113.78", 1), Check: beside(1)},
	}})
	if err := beside(0)(nil); err != nil {
		t.Errorf("after the destroy: %v", err)
	}
}

func TestAccOpenStackSecurityGroupRefused(t *testing.T) {
	t.Parallel()
	g := newGroupTest(t)
	var steps []resource.TestStep
	for _, c := range []struct{ attributes, says string }{
		{`rules = [{ protocol = "tcp", ports = "22" }, { protocol = "6", ports = "22-22", cidr = "0.0.0.0/0", description = "again" }]`,
			`rules\[0\] and rules\[1\] both are: ingress tcp 22 from 0.0.0.0/0`},
		{`rules = [{ protocol = "tcp", ports = "22" }, { protocol = "tcp", ports = "22" }]`, `Two rules are the same one`},
		{"rules = [{ protocol = \"tcp\", ports = \"80\" }]\n  presets = { web = {} }", `rules\[0\] and presets.web`},
		{`rules = []`, `at least 1`},
		{`rules = [{ ports = "22" }]`, `"protocol" is required`},
		{`rules = [{ protocol = "tpc" }]`, `"tpc" is no protocol`},
		{`rules = [{ protocol = "tcp", ports = "ssh" }]`, `are no ports`},
		{`rules = [{ protocol = "icmp", icmp_type = -1 }]`, `between 0 and 255`},
		{`rules = [{ protocol = "tcp", cidr = "192.0.2.0/33" }]`, `is no network`},
		{`rules = [{ protocol = "tcp", direction = "in" }]`, `none of ingress, egress`},
		{`presets = { testbed = {} }`, `Nobody is let in`},
		{`presets = { testbed = { from = ["0.0.0.0/0"] } }`, `The preset testbed is not for everybody`},
		{`presets = { broker = { from = ["::/0"] } }`, `The preset broker is not for everybody`},
		{`presets = { web = { from = ["everybody"] } }`, `Not a network`},
		{"adopt = true\n  description = \"x\"", `description of an adopted group is not ours`},
		{`adopt = true`, `there is no security group \S+ to adopt`},
		{`name = ""`, `at least 1|between 1 and 255`},
	} {
		name := fmt.Sprintf("name = %q\n  ", g.name)
		if strings.HasPrefix(c.attributes, "name") {
			name = ""
		}
		steps = append(steps, failing(g.group(g.rc, name+c.attributes), c.says))
	}
	steps = append(steps, failing(g.configuration("")+strings.ReplaceAll(strings.TrimPrefix(g.configuration(`presets = { web = {} }`), g.provider()), `"test"`, `"other"`),
		`Two resources for the security group`))
	for _, again := range []bool{false, true} {
		if again {
			steps = append(steps, resource.TestStep{
				PreConfig: func() {
					for range 2 {
						g.do(func(ctx context.Context, client *gophercloud.ServiceClient) error {
							return groups.Create(ctx, client, groups.CreateOpts{Name: g.name}).Err
						})
					}
				},
				Config: g.configuration("adopt = true"), ExpectError: words(`there are 2 security groups of the name \S+ \S+, \S+`),
			})
		}
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
}

// TestAccOpenStackSecurityGroupBadDays: what a cloud can do to an apply is said with its place and a way out, and leaves no second group.
func TestAccOpenStackSecurityGroupBadDays(t *testing.T) {
	t.Parallel()
	g := newGroupTest(t)
	good := g.configuration(`presets = { web = {} }`)
	answer := func(method, ending string, status int, body string) func() {
		return func() {
			g.between.Spoil(func(s openstacktest.Seen, w http.ResponseWriter) bool {
				if s.Method != method || s.Service != "network" || !strings.HasSuffix(s.Path, ending) {
					return false
				}
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("X-Openstack-Request-Id", "req-spoilt")
				w.WriteHeader(status)
				_, _ = w.Write([]byte(body))
				return true
			})
		}
	}
	one := func(*terraform.State) error {
		g.id(g.name)
		return nil
	}
	steps := []resource.TestStep{
		{
			PreConfig:   answer(http.MethodPost, "/security-group-rules", 500, `{"NeutronError": {"message": "broken"}}`),
			Config:      good,
			ExpectError: words(`(?s)500 Internal Server Error: broken.*region lcy01 of cloud http.*request req-spoilt.*Way out: that is the cloud's own fault`),
		},
		{ // finished by the next one
			PreConfig: func() { one(nil); g.between.Spoil(nil) }, Config: good,
			Check: resource.ComposeTestCheckFunc(one, g.has(g.name, 0, 0, 80, 80, 443, 443)),
		},
		{ // a plan goes on without the cloud
			PreConfig: answer(http.MethodGet, "/security-groups", 500, `{}`), Config: good, PlanOnly: true,
		},
		{PreConfig: func() { g.between.Spoil(nil) }, Config: good},
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	if left := g.named(g.name); len(left) > 0 {
		t.Errorf("after the destroy: %v", left)
	}
}

// TestAccOpenStackSecurityGroupRegion: in another region it is another group.
func TestAccOpenStackSecurityGroupRegion(t *testing.T) {
	t.Parallel()
	g := newGroupTest(t)
	there := g.group(openstacktest.RCFile(t, openstacktest.Scalingstack, openstacktest.Lgw01), fmt.Sprintf("name = %q", g.name))
	here := ""
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: g.configuration(""), Check: func(state *terraform.State) error {
			here = g.id(g.name)
			return attribute("id", "^"+here+"$")(state)
		}},
		{
			Config:           there,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{onlyReplaces{groupAddress}}},
			Check: resource.ComposeTestCheckFunc(attribute("region", "^lgw01$"), func(state *terraform.State) error {
				if attribute("id", "^"+here+"$")(state) == nil || len(g.named(g.name)) > 0 {
					return errors.New("it is still in the other region")
				}
				return nil
			}),
		},
	}})
}

// TestAccOpenStackSecurityGroupInUse: a group that a port has is not removed, and the message says whose it is.
func TestAccOpenStackSecurityGroupInUse(t *testing.T) {
	t.Parallel()
	g := newGroupTest(t)
	configuration := g.configuration("timeouts = { delete = \"30s\" }")
	port := ""
	free := func() {
		if port != "" {
			g.do(func(ctx context.Context, client *gophercloud.ServiceClient) error {
				return ports.Delete(ctx, client, port).Err
			})
		}
		port = ""
	}
	t.Cleanup(free)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: configuration},
		{
			PreConfig: func() {
				group := g.id(g.name)
				g.do(func(ctx context.Context, client *gophercloud.ServiceClient) error {
					all, err := networks.List(client, networks.ListOpts{Name: "net_scalingstack"}).AllPages(ctx)
					if err != nil {
						return err
					}
					found, err := networks.ExtractNetworks(all)
					if err != nil || len(found) == 0 {
						return fmt.Errorf("no network: %w", err)
					}
					made, err := ports.Create(ctx, client, ports.CreateOpts{NetworkID: found[0].ID, SecurityGroups: &[]string{group}}).Extract()
					if err == nil {
						port = made.ID
					}
					return err
				})
			},
			Config: configuration, Destroy: true, ExpectError: words(`in use by port \S+`),
		},
		{
			PreConfig: func() {
				g.do(func(ctx context.Context, client *gophercloud.ServiceClient) error {
					return ports.Delete(ctx, client, port).Err
				})
			},
			Config: g.configuration(""),
		},
	}})
}

// TestAccOpenStackSecurityGroupsAreListedOnce: a refresh of ten groups is one request.
func TestAccOpenStackSecurityGroupsAreListedOnce(t *testing.T) {
	t.Parallel()
	g := newGroupTest(t)
	configuration := g.provider() + fmt.Sprintf(`
resource "autopkgtest_security_group" "test" {
  count   = 10
  cloud   = { rc_file = %q }
  name    = "%s-${count.index}"
  presets = { testbed = { from = ["192.0.2.${count.index}"] } }
}
`, g.rc, g.name)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: configuration},
		{
			PreConfig: g.between.Forget, RefreshState: true,
			Check: func(*terraform.State) error {
				lists, all := g.between.Count(http.MethodGet, "network", "/security-groups"), 0
				for _, seen := range g.between.Requests() {
					if strings.Contains(seen.Path, "security-group") {
						all++
					}
				}
				if lists != 1 || all != 1 {
					return fmt.Errorf("%d lists: %v", lists, g.between.Requests())
				}
				return nil
			},
		},
	}})
}
