//go:build acceptance && openstack

package provider

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	deployed "github.com/autopkgtest-cloud/autopkgtest-cloud/provider/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
)

const floatingIPAddress = "autopkgtest_floating_ip.test"

// addressLab is a project of a real cloud, with somebody in between for the provider, and direct access for the test's own hands.
type addressLab struct {
	t       *testing.T
	between *openstacktest.Between
	region  *openstack.Region
	rc      string
	name    string // of what the test makes
}

// newAddressLab is the project that the tests share.
func newAddressLab(t *testing.T) *addressLab {
	t.Helper()
	return newAddressLabIn(t, openstacktest.RCFile(t, openstacktest.Scalingstack, openstacktest.Lcy01),
		openstacktest.NewBetween(t, openstacktest.Scalingstack, openstacktest.Lcy01))
}

// newAddressLabIn is the project of an RC file, which is the same in between.
func newAddressLabIn(t *testing.T, rc string, between *openstacktest.Between) *addressLab {
	t.Helper()
	region := openstacktest.RegionOf(t, rc)
	l := &addressLab{
		t: t, between: between, region: region, rc: between.RCFile(t, nil), name: "test-" + strings.ToLower(rand.Text()[:10]),
	}
	t.Cleanup(func() {
		for _, left := range l.marked() { // by a test that failed
			l.must(region.Release(context.WithoutCancel(t.Context()), left.ID))
		}
	})
	return l
}

func (l *addressLab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Error(err)
	}
}

// neutron does something by hand.
func (l *addressLab) neutron(call func(context.Context, *gophercloud.ServiceClient) error) {
	l.t.Helper()
	ctx := context.WithoutCancel(l.t.Context())
	if err := l.region.Do(ctx, openstack.Network, func(client *gophercloud.ServiceClient) error { return call(ctx, client) }); err != nil {
		l.t.Fatal(err)
	}
}

// port makes a port in a network, and removes it at the test's end.
func (l *addressLab) port(network string) (id, address string) {
	l.t.Helper()
	l.neutron(func(ctx context.Context, client *gophercloud.ServiceClient) error {
		made, err := ports.Create(ctx, client, ports.CreateOpts{Name: l.name, NetworkID: network}).Extract()
		if err == nil {
			id, address = made.ID, made.FixedIPs[0].IPAddress
		}
		return err
	})
	l.t.Cleanup(func() {
		l.neutron(func(ctx context.Context, client *gophercloud.ServiceClient) error {
			err := ports.Delete(ctx, client, id).ExtractErr()
			if gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
				return nil
			}
			return err
		})
	})
	return id, address
}

// secondAddress gives a port another address.
func (l *addressLab) secondAddress(id string) (address string) {
	l.t.Helper()
	l.neutron(func(ctx context.Context, client *gophercloud.ServiceClient) error {
		there, err := ports.Get(ctx, client, id).Extract()
		if err != nil {
			return err
		}
		both := []ports.IP{there.FixedIPs[0], {SubnetID: there.FixedIPs[0].SubnetID}}
		changed, err := ports.Update(ctx, client, id, ports.UpdateOpts{FixedIPs: &both}).Extract()
		if err != nil {
			return err
		}
		for _, fixed := range changed.FixedIPs {
			if fixed.IPAddress != there.FixedIPs[0].IPAddress {
				address = fixed.IPAddress
			}
		}
		return nil
	})
	return address
}

func (l *addressLab) network() string {
	l.t.Helper()
	found, err := l.region.InternalNetwork(l.t.Context(), "net_scalingstack")
	if err != nil {
		l.t.Fatal(err)
	}
	return found.ID
}

// configuration is the resource with attributes.
func (l *addressLab) configuration(attributes string) string {
	return fmt.Sprintf(`
resource "autopkgtest_floating_ip" "test" {
  cloud = { rc_file = %q }
  name  = %q
%s
}
`, l.rc, l.name, attributes)
}

// marked are the addresses that the provider has allocated for the test.
func (l *addressLab) marked() []openstack.FloatingIP {
	l.t.Helper()
	found, err := l.region.FloatingIPsMarked(context.WithoutCancel(l.t.Context()), deployed.FloatingIPMark(defaultStack, l.name))
	if err != nil {
		l.t.Fatal(err)
	}
	return found
}

// one wants exactly one address, which leads to the port.
func (l *addressLab) one(port string) (openstack.FloatingIP, error) {
	all := l.marked()
	if len(all) != 1 || all[0].PortID != port {
		return openstack.FloatingIP{}, fmt.Errorf("%+v; want one that leads to %q", all, port)
	}
	return all[0], nil
}

func (l *addressLab) gone() {
	l.t.Helper()
	if left := l.marked(); len(left) != 0 {
		l.t.Errorf("%+v are left", left)
		for _, one := range left {
			l.must(l.region.Release(context.WithoutCancel(l.t.Context()), one.ID))
		}
	}
}

// TestAccOpenStackFloatingIP: made, led back, led elsewhere, made anew, imported, found again, released.
func TestAccOpenStackFloatingIP(t *testing.T) {
	t.Parallel()
	l := newAddressLab(t)
	ctx := context.WithoutCancel(t.Context())
	first, _ := l.port(l.network())
	second, fixed := l.port(l.network())
	other := l.secondAddress(second)
	moved := *l
	moved.rc = l.between.RCFile(t, nil) // the same cloud, as another file says it
	away := *l
	away.rc = l.between.RCFile(t, func(text string) string { return strings.ReplaceAll(text, openstacktest.Lcy01, openstacktest.Lgw01) })
	to := func(port string) string {
		return l.configuration(fmt.Sprintf("pool = %q\nport_id = %q\ntimeouts = { create = \"2m\" }", "ext-net", port))
	}
	var address, id string
	same := func(port string) resource.TestCheckFunc {
		return func(*terraform.State) error {
			there, err := l.one(port)
			if err == nil && address != "" && (there.FloatingIP != address || there.ID != id) {
				err = fmt.Errorf("the address changed from %s to %s", address, there.FloatingIP)
			}
			address, id = there.FloatingIP, there.ID
			return err
		}
	}
	steps := []resource.TestStep{{Config: to(first), Check: resource.ComposeTestCheckFunc(same(first),
		resource.TestCheckResourceAttr(floatingIPAddress, "status", inPlace), resource.TestCheckResourceAttr(floatingIPAddress, "port_id", first),
		resource.TestCheckResourceAttr(floatingIPAddress, "region", openstacktest.Lcy01), resource.TestCheckResourceAttr(floatingIPAddress, "adopted", "false"),
	)}}
	drift := func(reason string, damage func()) {
		damaged := repaired(floatingIPAddress, reason, to(first), damage)
		damaged[1].Check = same(first)
		steps = append(steps, damaged...)
	}
	drift("it is detached from the port "+first, func() { l.must(l.region.Disassociate(ctx, id)) })
	drift("it leads to the port "+second+", and not to "+first, func() {
		_, err := l.region.Associate(ctx, id, second, fixed)
		l.must(err)
	})
	drift("its description does not say", func() { l.must(l.region.Mark(ctx, id, "mine")) })
	steps = append(steps, repaired(floatingIPAddress, deployed.FloatingIPReleased, to(first), func() {
		l.must(l.region.Release(ctx, id))
		address = ""
	})...)
	steps[len(steps)-1].ConfigPlanChecks.PreApply = append(steps[len(steps)-1].ConfigPlanChecks.PreApply,
		plancheck.ExpectUnknownValue(floatingIPAddress, tfjsonpath.New("address")), plancheck.ExpectUnknownValue(floatingIPAddress, tfjsonpath.New("id")))
	steps[len(steps)-1].Check = same(first)
	inPlaceTo := func(configuration, port string) resource.TestStep {
		return resource.TestStep{Config: configuration, Check: same(port), ConfigPlanChecks: resource.ConfigPlanChecks{
			PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(floatingIPAddress, plancheck.ResourceActionUpdate)},
		}}
	}
	steps = append(steps,
		resource.TestStep{Config: l.configuration("port_id = \"" + first + "\"\npool = \"no-such-net\""), ExpectError: words(`there is no external network "no-such-net"`)},
		resource.TestStep{
			Config: l.configuration("port_id = \"" + first + "\"\naddress = \"172.24.4.254\""), ExpectError: words(`the project has no floating IP 172.24.4.254`),
		},
		inPlaceTo(moved.configuration("port_id = \""+second+"\"\nfixed_ip = \""+fixed+"\""), second),
		resource.TestStep{
			PreConfig: func() {
				_, err := l.region.Associate(ctx, id, second, other)
				l.must(err)
			},
			RefreshState: true, ExpectNonEmptyPlan: true,
			Check: resource.TestMatchResourceAttr(floatingIPAddress, "status", regexp.MustCompile("the port's address "+other+", and not to "+fixed)),
		},
		inPlaceTo(l.configuration("port_id = \""+second+"\"\nfixed_ip = \""+fixed+"\"\ntimeouts = { update = \"2m\" }"), second),
		inPlaceTo(l.configuration(""), ""),
		resource.TestStep{ // led somewhere by hand
			PreConfig: func() {
				_, err := l.region.Associate(ctx, id, second, fixed)
				l.must(err)
			},
			RefreshState: true, ExpectNonEmptyPlan: true,
			Check: resource.TestMatchResourceAttr(floatingIPAddress, "status", regexp.MustCompile("should lead nowhere")),
		},
		inPlaceTo(l.configuration(""), ""),
		inPlaceTo(to(first), first),
		resource.TestStep{Config: withoutState(floatingIPAddress)},
		resource.TestStep{Config: to(first), Check: same(first)}, // the same address, found by its mark
		resource.TestStep{Config: withoutState(floatingIPAddress)},
		resource.TestStep{Config: to(second), ExpectError: words(`leads to the port ` + first + ` already: another floating IP of this name`)},
		resource.TestStep{Config: to(first), Check: same(first)},
		resource.TestStep{
			Config: away.configuration(""),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(floatingIPAddress, plancheck.ResourceActionReplace),
			}},
			Check: resource.ComposeTestCheckFunc(resource.TestCheckResourceAttr(floatingIPAddress, "region", openstacktest.Lgw01),
				func(*terraform.State) error {
					l.gone()
					return nil
				}),
		},
	)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	l.gone()
}

// withoutState takes a resource out of the state and leaves it in the world.
func withoutState(address string) string {
	return "removed {\n from = " + address + "\n lifecycle {\n destroy = false\n }\n}\n"
}

// environment has the provider's OS_* variables lead to the cloud, as an import needs it. The test is alone, since they are the whole
// process's.
func (l *addressLab) environment() {
	content, err := os.ReadFile(l.rc)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, line := range regexp.MustCompile(`(?m)^export (OS_\w+)=['"]?(.*?)['"]?$`).FindAllStringSubmatch(string(content), -1) {
		l.t.Setenv(line[1], line[2])
	}
}

// TestAccOpenStackFloatingIPImport: by id and by address, ours and somebody else's, which an apply makes ours.
func TestAccOpenStackFloatingIPImport(t *testing.T) {
	l := newAddressLab(t)
	l.environment()
	ctx := context.WithoutCancel(t.Context())
	port, _ := l.port(l.network())
	other := l.name + "-other"
	outside, err := l.region.ExternalNetwork(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := l.region.Allocate(ctx, outside.ID, "the operator's "+l.name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.must(l.region.Release(ctx, theirs.ID)) })
	ours := fmt.Sprintf("resource \"autopkgtest_floating_ip\" \"test\" {\n name = %q\n port_id = %q\n}\n", l.name, port)
	imports := func(attribute string) resource.TestStep {
		return resource.TestStep{
			ResourceName: floatingIPAddress, ImportState: true, ImportStateVerify: true,
			ImportStateVerifyIgnore: []string{"cloud", "pool", "timeouts"},
			ImportStateIdFunc: func(state *terraform.State) (string, error) {
				return openstacktest.Lcy01 + "," + state.RootModule().Resources[floatingIPAddress].Primary.Attributes[attribute], nil
			},
		}
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: ours},
		imports("id"),
		imports("address"),
		{
			Config: ours + fmt.Sprintf(`
import {
  to = autopkgtest_floating_ip.theirs
  id = "lcy01,%s"
}

resource "autopkgtest_floating_ip" "theirs" { name = %q }
`, theirs.FloatingIP, other),
			Check: func(*terraform.State) error {
				there, err := l.region.FloatingIP(ctx, theirs.ID)
				if err == nil && there.Description != deployed.FloatingIPMark(defaultStack, other) {
					err = fmt.Errorf("%+v", there)
				}
				return err
			},
		},
	}})
	l.gone()
	if _, err := l.region.FloatingIP(ctx, theirs.ID); !errors.Is(err, openstack.ErrNotFound) {
		t.Errorf("%s was made ours and is not released: %v", theirs.FloatingIP, err)
	}
}

// TestAccOpenStackFloatingIPAdopts: an address that the project has is used, and never released.
func TestAccOpenStackFloatingIPAdopts(t *testing.T) {
	t.Parallel()
	l := newAddressLab(t)
	ctx := context.WithoutCancel(t.Context())
	port, _ := l.port(l.network())
	other, _ := l.port(l.network())
	outside, err := l.region.ExternalNetwork(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := l.region.Allocate(ctx, outside.ID, "the operator's "+l.name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.must(l.region.Release(ctx, theirs.ID)) })
	adopts := l.configuration(fmt.Sprintf("address = %q\nport_id = %q", theirs.FloatingIP, port))
	leads := func(to string) resource.TestCheckFunc {
		return func(*terraform.State) error {
			there, err := l.region.FloatingIP(ctx, theirs.ID)
			if err == nil && (there.PortID != to || there.Description != theirs.Description) {
				err = fmt.Errorf("%+v", there)
			}
			return err
		}
	}
	replaced := resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
		plancheck.ExpectResourceAction(floatingIPAddress, plancheck.ResourceActionReplace),
	}}
	steps := []resource.TestStep{
		{
			PreConfig: func() {
				_, err := l.region.Associate(ctx, theirs.ID, other, "")
				l.must(err)
			},
			Config: adopts, ExpectError: words(theirs.FloatingIP + ` leads to the port ` + other + ` already: somebody uses it`),
		},
		{
			PreConfig: func() { l.must(l.region.Disassociate(ctx, theirs.ID)) },
			Config:    adopts,
			Check: resource.ComposeTestCheckFunc(leads(port), resource.TestCheckResourceAttr(floatingIPAddress, "adopted", "true"),
				resource.TestCheckResourceAttr(floatingIPAddress, "id", theirs.ID)),
		},
		{Config: l.configuration("address = \"172.24.4.7\"\npool = \"ext-net\""), ExpectError: words(`cannot be specified when`)},
		{Config: l.configuration("address = \"2001:db8::7\""), ExpectError: words(`addresses of IPv4 alone`)},
		// Without the line it is another address, and that one stays the operator's.
		{Config: l.configuration("port_id = \"" + port + "\""), ConfigPlanChecks: replaced, Check: leads("")},
		{Config: adopts, ConfigPlanChecks: replaced, Check: resource.ComposeTestCheckFunc(leads(port), func(*terraform.State) error {
			l.gone()
			return nil
		})},
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	if err := leads("")(nil); err != nil {
		t.Error(err)
	}
}

// TestAccOpenStackFloatingIPOfAnInstance: its only port is found, and several are named.
func TestAccOpenStackFloatingIPOfAnInstance(t *testing.T) {
	t.Parallel()
	l := newAddressLab(t)
	ctx := context.WithoutCancel(t.Context())
	instance := l.name + "-instance" // Neutron knows no more of an instance than that its ports have its id
	var made []string
	of := l.configuration("instance_id = \"" + instance + "\"")
	leads := func(to int) resource.TestCheckFunc {
		return func(state *terraform.State) error {
			_, err := l.one(made[to])
			return errors.Join(err, resource.TestCheckResourceAttr(floatingIPAddress, "port_id", made[to])(state))
		}
	}
	fixed := func() string {
		all, err := l.region.Ports(ctx, instance)
		l.must(err)
		for _, port := range all {
			if port.ID == made[2] {
				return port.FixedIPs[0].IPAddress
			}
		}
		return ""
	}
	give := func(which int, owner string) {
		l.neutron(func(ctx context.Context, client *gophercloud.ServiceClient) error {
			return ports.Update(ctx, client, made[which], ports.UpdateOpts{DeviceID: &owner}).Err
		})
	}
	for which := range 4 {
		id, _ := l.port(l.network())
		made = append(made, id)
		if which < 3 {
			give(which, instance)
		}
	}
	steps := []resource.TestStep{
		{Config: strings.Replace(of, "-instance\"", "-gone\"", 1), ExpectError: words(`the instance \S+-gone has no port`)},
		{Config: of, ExpectError: words(`(?s)has several ports: .*set port_id to one of them`)},
		{Config: l.configuration("instance_id = \"" + instance + "\"\nfixed_ip = \"10.1.2.3\""), ExpectError: words(`has no address 10.1.2.3`)},
		{Config: l.configuration("instance_id = \"" + instance + "\"\nport_id = \"x\""), ExpectError: words(`cannot be specified when`)},
		{Config: l.configuration("instance_id = \"" + instance + "\"\nfixed_ip = \"" + fixed() + "\""), Check: leads(2)},
		{PreConfig: func() { give(0, ""); give(2, "") }, Config: of, Check: leads(1)},
		{ // The instance has another port.
			PreConfig: func() {
				l.neutron(func(ctx context.Context, client *gophercloud.ServiceClient) error {
					return ports.Delete(ctx, client, made[1]).ExtractErr()
				})
				give(3, instance)
			},
			RefreshState: true, ExpectNonEmptyPlan: true,
			Check: resource.TestMatchResourceAttr(floatingIPAddress, "status", regexp.MustCompile("it is detached")),
		},
		{Config: of, Check: leads(3)},
		{Config: l.configuration("port_id = \"" + made[0] + "\""), Check: leads(0)},
		{Config: l.configuration("instance_id = \"" + instance + "\""), Check: leads(3)},
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	l.gone()
}

// TestAccOpenStackFloatingIPWaitsForARouter: without one it says what is missing and keeps the address, and with one that is made
// meanwhile it goes on.
func TestAccOpenStackFloatingIPWaitsForARouter(t *testing.T) {
	t.Parallel()
	project := openstacktest.NewProject(t, openstacktest.Lcy01)
	l := newAddressLabIn(t, project.RC, project.Between())
	network := project.Network("10.231.7.0/24")
	var subnet, router string
	l.neutron(func(ctx context.Context, client *gophercloud.ServiceClient) error {
		there, err := networks.Get(ctx, client, network).Extract()
		if err == nil {
			subnet = there.Subnets[0]
		}
		return err
	})
	t.Cleanup(func() {
		if router == "" {
			return
		}
		l.neutron(func(ctx context.Context, client *gophercloud.ServiceClient) error {
			_, err := routers.RemoveInterface(ctx, client, router, routers.RemoveInterfaceOpts{SubnetID: subnet}).Extract()
			return errors.Join(err, routers.Delete(ctx, client, router).ExtractErr())
		})
	})
	port, _ := l.port(network)
	outside, err := l.region.ExternalNetwork(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var kept string
	var once sync.Once
	steps := []resource.TestStep{
		{
			Config:      l.configuration("port_id = \"" + port + "\"\ntimeouts = { create = \"1m\" }"),
			ExpectError: words(`(?s)no router led from the external network to the port in .*not reachable from subnet.*--external-gateway.*add subnet.*the address is kept`),
		},
		{
			PreConfig: func() {
				there, err := l.one("")
				l.must(err)
				kept = there.ID
				// The router comes when the provider has been refused once more.
				l.between.Spoil(func(s openstacktest.Seen, _ http.ResponseWriter) bool {
					if s.Method == http.MethodPut && strings.HasPrefix(s.Path, "/v2.0/floatingips/") {
						go once.Do(func() {
							l.neutron(func(ctx context.Context, client *gophercloud.ServiceClient) error {
								made, err := routers.Create(ctx, client, routers.CreateOpts{
									Name: l.name, GatewayInfo: &routers.GatewayInfo{NetworkID: outside.ID},
								}).Extract()
								if err != nil {
									return err
								}
								router = made.ID
								_, err = routers.AddInterface(ctx, client, router, routers.AddInterfaceOpts{SubnetID: subnet}).Extract()
								return err
							})
						})
					}
					return false
				})
			},
			Config: l.configuration("port_id = \"" + port + "\""),
			Check: func(*terraform.State) error {
				there, err := l.one(port)
				if err == nil && there.ID != kept {
					err = fmt.Errorf("%s is another address than the one that was kept", there.FloatingIP)
				}
				return err
			},
		},
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	l.gone()
}

// TestAccOpenStackFloatingIPBadDays: what a cloud refuses is said with place, cause and way out, and afterwards one apply makes one
// address.
func TestAccOpenStackFloatingIPBadDays(t *testing.T) {
	t.Parallel()
	allocation := func(s openstacktest.Seen) bool { return s.Method == http.MethodPost && s.Path == "/v2.0/floatingips" }
	const place = ".*region lcy01 of cloud http.*project scalingstack.*"
	for name, test := range map[string]struct {
		attributes string
		day        func(*openstacktest.Between)
		says       string
	}{
		"unknown pool": {attributes: `pool = "ext-none"`, says: `there is no external network "ext-none"` + place + `Way out: take one of ext-net`},
		"unknown port": {
			attributes: `port_id = "33333333-3333-4333-8333-333333333333"`,
			says:       `Port 33333333-3333-4333-8333-333333333333 could not be found` + place + `\(request req-\S+\).*Way out: it was removed, or was never there`,
		},
		"not ours": {attributes: `address = "172.24.4.254"`, says: `the project has no floating IP 172.24.4.254` + place + `Way out: «openstack floating ip list»`},
		"the answer is lost": {
			day:  func(b *openstacktest.Between) { b.Lose(allocation) },
			says: `no answer` + place + `POST /network/lcy01/v2.0/floatingips.*Way out: see whether .* is reachable .*finished by the next try`,
		},
		"region away": {
			attributes: `timeouts = { create = "20s" }`,
			day: func(b *openstacktest.Between) {
				b.Spoil(func(s openstacktest.Seen, w http.ResponseWriter) bool {
					if s.Service != "network" {
						return false
					}
					w.Header().Set("X-Openstack-Request-Id", "req-of-the-test")
					w.WriteHeader(http.StatusServiceUnavailable)
					return true
				})
			},
			says: `503 Service Unavailable` + place + `request req-of-the-test.*Way out: that is the cloud's own fault: try again later`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newAddressLab(t)
			if test.day == nil {
				test.day = func(*openstacktest.Between) {}
			}
			resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
				{PreConfig: func() { test.day(l.between) }, Config: l.configuration(test.attributes), ExpectError: words("(?s)" + test.says)},
				{
					PreConfig: func() { l.between.Spoil(nil); l.between.Lose(nil) }, Config: l.configuration(""),
					Check: func(*terraform.State) error {
						_, err := l.one("")
						return err
					},
				},
			}})
			l.gone()
		})
	}
}

// TestAccOpenStackFloatingIPInterrupted: somebody presses ^C when the address is allocated and leads nowhere yet. It is in the state, and
// the next apply finishes it; or a destroy releases it.
func TestAccOpenStackFloatingIPInterrupted(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]string{"applied again": "apply", "destroyed": "destroy"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newAddressLab(t)
			port, _ := l.port(l.network())
			folder := t.TempDir()
			configuration := "terraform {\n required_providers {\n autopkgtest = { source = \"autopkgtest-cloud/autopkgtest\" }\n }\n}\n" +
				l.configuration(fmt.Sprintf("port_id = %q", port))
			overrides := ""
			for _, registry := range []string{"registry.terraform.io", "registry.opentofu.org"} {
				overrides += fmt.Sprintf("%q = %q\n", registry+"/autopkgtest-cloud/autopkgtest", programs)
			}
			if err := errors.Join(os.WriteFile(filepath.Join(folder, "main.tf"), []byte(configuration), 0o600),
				os.WriteFile(filepath.Join(folder, "rc"), []byte("provider_installation {\n dev_overrides {\n"+overrides+"}\n direct {}\n}\n"), 0o600)); err != nil {
				t.Fatal(err)
			}
			command := func(what string) (*exec.Cmd, *strings.Builder) {
				cmd := exec.Command(os.Getenv("TF_ACC_TERRAFORM_PATH"), what, "-auto-approve", "-no-color")
				out := new(strings.Builder)
				cmd.Dir, cmd.Stdout, cmd.Stderr = folder, out, out
				cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+filepath.Join(folder, "rc"))
				cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
				return cmd, out
			}
			first, said := command("apply")
			l.between.Spoil(func(s openstacktest.Seen, w http.ResponseWriter) bool {
				if s.Method != http.MethodPut {
					return false
				}
				_ = first.Process.Signal(os.Interrupt)
				time.Sleep(3 * time.Second) // the provider is told, and gives the request up
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			})
			if err := first.Run(); err == nil || !strings.Contains(said.String(), "is not finished") {
				t.Errorf("%v: %s", err, said)
			}
			begun, err := l.one("")
			if err != nil {
				t.Fatal(err)
			}
			l.between.Spoil(nil)
			last := []string{next}
			if next != "destroy" {
				last = append(last, "destroy")
			}
			for _, what := range last {
				cmd, said := command(what)
				if err := cmd.Run(); err != nil {
					t.Errorf("%s: %v: %s", what, err, said)
				}
				if what == "destroy" {
					continue
				}
				if there, err := l.one(port); err != nil || there.ID != begun.ID {
					t.Errorf("%v, %+v; it began as %+v", err, there, begun)
				}
			}
			l.gone()
		})
	}
}
