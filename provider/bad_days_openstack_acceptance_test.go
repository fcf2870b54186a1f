//go:build acceptance && openstack

package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/quotasets"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/applicationcredentials"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/quotas"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	deployed "github.com/autopkgtest-cloud/autopkgtest-cloud/provider/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
)

// whole is a project of the test's own with one thing of each kind in it, and somebody between it and Terraform.
type whole struct {
	*openstacktest.Project
	t       *testing.T
	between *openstacktest.Between
	region  *openstack.Region
	key     string // public
}

func newWhole(t *testing.T) *whole {
	t.Helper()
	w := &whole{Project: openstacktest.NewProject(t, openstacktest.Lcy01), t: t}
	w.Network("10.231.8.0/24")
	w.between = w.Between()
	_, public, err := deployed.NewPrivateKey("me@there")
	if err != nil {
		t.Fatal(err)
	}
	w.key = public.Line()
	w.region = openstacktest.RegionOf(t, w.RC)
	return w
}

// change is an RC file in which a line of an OS_ variable is another one.
func (w *whole) change(variable, line string) string {
	w.t.Helper()
	return w.between.RCFile(w.t, func(text string) string {
		return regexp.MustCompile(`(?m)^export `+variable+`=.*$`).ReplaceAllLiteralString(text, line)
	})
}

const (
	anAddress  = "floating_ip"
	aGroup     = "security_group"
	aKey       = "keypair"
	anInstance = "instance"
)

// configuration has one thing of each of the kinds.
func (w *whole) configuration(rc string, kinds ...string) string {
	attributes := map[string]string{
		anAddress:  "",
		aGroup:     "  rules = [{ protocol = \"tcp\", ports = \"22\" }]\n",
		aKey:       fmt.Sprintf("  public_key = %q\n", w.key),
		anInstance: "  image_pattern = \"testbed\"\n  flavor = \"m1.tiny\"\n",
	}
	text := fmt.Sprintf("provider \"autopkgtest\" {\n  stack = %q\n}\n", w.Name)
	for _, kind := range kinds {
		text += fmt.Sprintf("resource \"autopkgtest_%s\" \"test\" {\n  cloud = { rc_file = %q }\n  name = %q\n%s}\n", kind, rc, w.Name, attributes[kind])
	}
	return text
}

// each wants that the message about each of so many things has the cause, the place, the request unless nothing was asked for, and the way
// out.
func (w *whole) each(count int, cause, request, wayOut string) *regexp.Regexp {
	place := "region " + w.region.Name() + " of cloud http://.*(project " + w.Name + "|application credential ).*from /"
	return words(fmt.Sprintf(`(?s)(%s.*%s.*%s.*Way out: [^│]*%s.*){%d}`, cause, place, request, wayOut, count))
}

const aRequest = `\(request req-[0-9a-f-]{36}\)`

// has wants so many things of each kind of the test's name, in the cloud itself.
func (w *whole) has(want map[string]int) resource.TestCheckFunc {
	return func(*terraform.State) error {
		got := map[string]int{}
		ctx := context.WithoutCancel(w.t.Context())
		addresses, err := w.region.FloatingIPs(ctx)
		got[anAddress] = len(addresses)
		servers, failed := w.region.ServersTagged(ctx)
		got[anInstance] = len(servers)
		return errors.Join(err, failed,
			w.region.Do(ctx, openstack.Network, func(client *gophercloud.ServiceClient) error {
				pages, err := groups.List(client, groups.ListOpts{Name: w.Name}).AllPages(ctx)
				if err != nil {
					return err
				}
				found, err := groups.ExtractGroups(pages)
				got[aGroup] = len(found)
				return err
			}),
			w.region.Do(ctx, openstack.Compute, func(client *gophercloud.ServiceClient) error {
				pages, err := keypairs.List(client, nil).AllPages(ctx)
				if err != nil {
					return err
				}
				found, err := keypairs.ExtractKeyPairs(pages)
				got[aKey] = len(found)
				for _, kind := range []string{anAddress, aGroup, aKey, anInstance} {
					if got[kind] != want[kind] {
						err = errors.Join(err, fmt.Errorf("there are %d of %s, want %d", got[kind], kind, want[kind]))
					}
				}
				return err
			}))
	}
}

// onceEach is what a project has when every kind was made.
var onceEach = map[string]int{anAddress: 1, aGroup: 1, aKey: 1, anInstance: 1}

// run applies the steps, and wants that a destroy leaves nothing.
func (w *whole) run(steps ...resource.TestStep) {
	w.t.Helper()
	resource.Test(w.t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	if err := w.has(nil)(nil); err != nil {
		w.t.Errorf("after the destroy: %v", err)
	}
}

// TestAccOpenStackBadCredentials: the plan of each kind of thing says the same of what is wrong with an RC file, and the right one makes one
// of each.
func TestAccOpenStackBadCredentials(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	all := []string{anAddress, aGroup, aKey, anInstance}
	none := func() {
		if err := w.has(nil)(nil); err != nil {
			t.Error(err)
		}
	}
	w.run(
		resource.TestStep{
			Config: w.configuration(w.change("OS_PASSWORD", "export OS_PASSWORD=Wrong1"), all...), PlanOnly: true,
			ExpectError: w.each(4, "401 Unauthorized", aRequest, `the password or the project is wrong in /\S+/cloud.rc; try it with: openstack token issue`),
		},
		resource.TestStep{
			PreConfig: none, Config: w.configuration(w.change("OS_REGION_NAME", "export OS_REGION_NAME=lcy02"), all...), PlanOnly: true,
			ExpectError: words(`(?s)(the cloud has no region lcy02.*region lcy02 of cloud http://.*project ` + w.Name +
				`.*Way out: its regions are lcy01, lgw01, and capitals count: correct OS_REGION_NAME.*){4}`),
		},
		resource.TestStep{
			PreConfig: none, Config: w.configuration(w.change("OS_PASSWORD", "export OS_PASSWORD=$(pass show lcy01)"), all...),
			ExpectError: words(`(?s)(/\S+/cloud.rc:4: OS_PASSWORD depends on what a command prints, \$\(\.\.\.\): write the value itself.*){4}`),
		},
		resource.TestStep{PreConfig: none, Config: w.configuration(w.between.RCFile(t, nil), all...), Check: w.has(onceEach)},
	)
}

// TestAccOpenStackNoQuota: a project that may have nothing, and is given more.
func TestAccOpenStackNoQuota(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	right := w.between.RCFile(t, nil)
	nothing, some := 0, 10
	compute := func(count *int) { w.ComputeQuota(quotasets.UpdateOpts{Instances: count, KeyPairs: count}) }
	network := func(groups, rules, ports *int) {
		w.NetworkQuota(quotas.UpdateOpts{FloatingIP: groups, SecurityGroup: groups, SecurityGroupRule: rules, Port: ports})
	}
	w.run(
		resource.TestStep{
			PreConfig: func() { compute(&nothing); network(&nothing, &some, &some) },
			Config:    w.configuration(right, anAddress, aGroup, aKey, anInstance),
			ExpectError: w.each(4, "Quota exceeded", aRequest,
				`remove what is not needed, or ask the cloud's operators for more; openstack quota show tells the limits`),
		},
		resource.TestStep{ // the next quotas are met: a group has no rules, and a server no port
			PreConfig: func() { compute(&some); network(&some, &nothing, &nothing) },
			Config:    w.configuration(right, aGroup, anInstance),
			ExpectError: w.each(2, `(Quota exceeded|Maximum number of ports exceeded)`, aRequest,
				`remove what is not needed, or ask the cloud's operators for more; openstack quota show tells the limits`),
		},
		resource.TestStep{
			PreConfig: func() { network(&some, &some, &some) },
			Config:    w.configuration(right, anAddress, aGroup, aKey, anInstance), Check: w.has(onceEach),
		},
	)
}

// TestAccOpenStackNoImage: nothing matches the pattern, and what is beside the instance is made; with another pattern the instance is, too.
func TestAccOpenStackNoImage(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	right := w.configuration(w.between.RCFile(t, nil), anAddress, aGroup, aKey, anInstance)
	w.run(
		resource.TestStep{
			Config:      strings.Replace(right, `image_pattern = "testbed"`, `image_pattern = "ubuntu-xenial-"`, 1),
			ExpectError: w.each(1, `no active image matches "ubuntu-xenial-"`, "image:", "correct the pattern, or upload an image; there are dummy, testbed"),
		},
		resource.TestStep{Config: right, Check: w.has(onceEach)},
	)
}

// TestAccOpenStackTwoPools: with two external networks one has to be named, and then it counts; and one that is used up says so.
func TestAccOpenStackTwoPools(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	right := w.between.RCFile(t, nil)
	pool := w.Pool("pool-"+w.Name, "203.0.113.0/30") // the gateway has one of its two addresses
	in := func(name string) string {
		return strings.Replace(w.configuration(right, anAddress), "  name", "  pool = \""+name+"\"\n  name", 1)
	}
	one := func(address string) resource.TestCheckFunc {
		return resource.ComposeTestCheckFunc(w.has(map[string]int{anAddress: 1}),
			resource.TestMatchResourceAttr(floatingIPAddress, "address", regexp.MustCompile(address)))
	}
	ctx := context.WithoutCancel(t.Context())
	var theirs openstack.FloatingIP
	w.run(
		resource.TestStep{
			Config:      w.configuration(right, anAddress),
			ExpectError: w.each(1, "there are several of kind external network: ext-net, pool-"+w.Name, "network:", `set pool to one of them`),
		},
		resource.TestStep{
			PreConfig: func() {
				var err error
				if theirs, err = w.region.Allocate(ctx, pool, "theirs"); err != nil {
					t.Error(err)
				}
			},
			Config:      in("pool-" + w.Name),
			ExpectError: w.each(1, "No more IP addresses available on network "+pool, aRequest, "the network is used up: release addresses that nobody needs"),
		},
		resource.TestStep{
			PreConfig: func() {
				if err := w.region.Release(ctx, theirs.ID); err != nil {
					t.Error(err)
				}
			},
			Config: in("pool-" + w.Name), Check: one(`^203\.0\.113\.`),
		},
		resource.TestStep{Config: in("ext-net"), Check: one(`^172\.24\.4\.`)},
	)
}

// TestAccOpenStackNoNeutron: the plan of all that needs Neutron says that the catalog has none, and once it has it, one apply makes it.
func TestAccOpenStackNoNeutron(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	right := w.between.RCFile(t, nil)
	show := w.Hide("network")
	all := w.configuration(right, anAddress, aGroup, aKey, anInstance)
	w.run(
		resource.TestStep{Config: all, PlanOnly: true, ExpectError: w.each(3, `no public endpoint of the service network \(neutron\), only of compute`, "network:",
			"ask the cloud's operators for it, or name a region that has one")},
		resource.TestStep{PreConfig: show, Config: all, Check: w.has(onceEach)},
	)
}

// TestAccOpenStackRevoked: a token that ends in the middle of an apply is replaced where there is a password, once; and where there is
// none, the message says so, and the next apply with another token makes one of each.
func TestAccOpenStackRevoked(t *testing.T) {
	t.Parallel()
	// The plan has the first login, as it looks for the group, and the apply the second. A token that one of the services has seen
	// is believed by all of them for minutes: so it ends before they do.
	revokes := func(w *whole, revoke func() error) func() {
		return func() {
			var once sync.Once
			w.between.Forget()
			w.between.Spoil(func(s openstacktest.Seen, _ http.ResponseWriter) bool {
				if s.Service != "identity" && w.between.Count(http.MethodPost, "identity", "/auth/tokens") == 2 {
					once.Do(func() {
						if err := revoke(); err != nil {
							t.Error(err)
						}
					})
				}
				return false
			})
		}
	}
	t.Run("with a password", func(t *testing.T) {
		t.Parallel()
		w := newWhole(t)
		w.run(resource.TestStep{
			PreConfig: revokes(w, w.between.Revoke), Config: w.configuration(w.between.RCFile(t, nil), anAddress, aGroup, aKey, anInstance),
			Check: resource.ComposeTestCheckFunc(w.has(onceEach), func(*terraform.State) error {
				refused := 0
				for _, seen := range w.between.Requests() {
					if seen.Status == http.StatusUnauthorized {
						refused++
					}
				}
				if logins := w.between.Count(http.MethodPost, "identity", "/auth/tokens"); refused == 0 || logins != 3 {
					return fmt.Errorf("%d requests were refused, and there were %d logins, want 3: %v", refused, logins, w.between.Requests())
				}
				return nil
			}),
		})
	})
	t.Run("with nothing but a token", func(t *testing.T) {
		t.Parallel()
		w := newWhole(t)
		rc := w.tokenFile()
		w.run(
			resource.TestStep{
				PreConfig: revokes(w, w.between.Revoke), Config: w.configuration(rc, anAddress, aGroup),
				ExpectError: w.each(2, "401 Unauthorized", aRequest, `the token is not accepted any more, and there is no password to get another with: `+
					`put a new one into /\S+/cloud.rc \(openstack token issue\)`),
			},
			resource.TestStep{
				PreConfig: func() { w.between.Spoil(nil); w.replace(rc, w.tokenFile()) },
				Config:    w.configuration(rc, anAddress, aGroup), Check: w.has(map[string]int{anAddress: 1, aGroup: 1}),
			},
		)
	})
	t.Run("with an application credential that goes too", func(t *testing.T) {
		t.Parallel()
		w := newWhole(t)
		rc, id := w.credentialFile("first")
		w.run(
			resource.TestStep{
				PreConfig: revokes(w, func() error { return w.removeCredential(id) }), Config: w.configuration(rc, anAddress, aGroup),
				ExpectError: w.each(2, "the token is not accepted any more, and the login for a new one is refused: 40[14]", aRequest,
					`the application credential has expired, was removed, or is wrong in /\S+/cloud.rc: make another one`),
			},
			resource.TestStep{
				PreConfig: func() {
					w.between.Spoil(nil)
					other, _ := w.credentialFile("second")
					w.replace(rc, other)
				},
				Config: w.configuration(rc, anAddress, aGroup), Check: w.has(map[string]int{anAddress: 1, aGroup: 1}),
			},
		)
	})
}

// replace has a file hold what another one holds.
func (w *whole) replace(file, by string) {
	w.t.Helper()
	content, err := os.ReadFile(by)
	if err = errors.Join(err, os.WriteFile(file, content, 0o600)); err != nil {
		w.t.Error(err)
	}
}

// identity asks Keystone as the project's user.
func (w *whole) identity(call func(ctx context.Context, client *gophercloud.ServiceClient, user string) error) error {
	ctx := context.WithoutCancel(w.t.Context())
	return w.region.Do(ctx, openstack.Identity, func(client *gophercloud.ServiceClient) error {
		user, err := client.GetAuthResult().(tokens.CreateResult).ExtractUser()
		if err != nil {
			return err
		}
		return call(ctx, client, user.ID)
	})
}

// credentialFile is an RC file with an application credential of the name, which is made, and without a password.
func (w *whole) credentialFile(name string) (rc, id string) {
	w.t.Helper()
	line := ""
	if err := w.identity(func(ctx context.Context, client *gophercloud.ServiceClient, user string) error {
		made, err := applicationcredentials.Create(ctx, client, user, applicationcredentials.CreateOpts{Name: name}).Extract()
		if err == nil {
			id = made.ID
			line = "export OS_AUTH_TYPE=v3applicationcredential OS_APPLICATION_CREDENTIAL_ID=" + id + " OS_APPLICATION_CREDENTIAL_SECRET=" + made.Secret
		}
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return w.withoutUser(line, "|PROJECT_NAME|PROJECT_DOMAIN_NAME"), id
}

func (w *whole) removeCredential(id string) error {
	return w.identity(func(ctx context.Context, client *gophercloud.ServiceClient, user string) error {
		return applicationcredentials.Delete(ctx, client, user, id).ExtractErr()
	})
}

// tokenFile is an RC file with a token and without a password.
func (w *whole) tokenFile() string {
	w.t.Helper()
	token := ""
	if err := w.identity(func(_ context.Context, client *gophercloud.ServiceClient, _ string) error {
		token = client.Token()
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return w.withoutUser("export OS_AUTH_TYPE=token OS_TOKEN="+token, "")
}

// withoutUser is an RC file with a line in the place of user and password, and without further variables, |NAME each.
func (w *whole) withoutUser(line, more string) string {
	w.t.Helper()
	return w.between.RCFile(w.t, func(text string) string {
		text = regexp.MustCompile(`(?m)^export OS_(USERNAME|USER_DOMAIN_NAME`+more+`)=.*\n`).ReplaceAllString(text, "")
		return regexp.MustCompile(`(?m)^export OS_PASSWORD=.*$`).ReplaceAllLiteralString(text, line)
	})
}

// TestAccOpenStackDeletedByHand: of a server that somebody has deleted the address is kept, and leads to the one that takes its place.
func TestAccOpenStackDeletedByHand(t *testing.T) {
	t.Parallel()
	i := newInstances(t)
	configuration := i.configuration() + fmt.Sprintf(`
resource "autopkgtest_floating_ip" "test" {
  cloud       = { rc_file = %q }
  name        = %q
  instance_id = autopkgtest_instance.test.id
}
`, i.rc, i.name)
	server, address := "", ""
	leads := func(s *terraform.State) error {
		there := s.RootModule().Resources[floatingIPAddress].Primary.Attributes
		marked, err := i.region.FloatingIPsMarked(context.Background(), deployed.FloatingIPMark(i.name, i.name))
		port := s.RootModule().Resources[instanceAddress].Primary.Attributes["port_id"]
		switch before := address; {
		case err != nil:
			return err
		case len(marked) != 1 || marked[0].PortID != port || marked[0].PortID != there["port_id"]:
			return fmt.Errorf("%+v; want one that leads to %s", marked, port)
		case before != "" && (before != there["address"] || server == i.only()):
			return fmt.Errorf("the address was %s and is %s; the server was %s and is %s", before, there["address"], server, i.only())
		}
		server, address = i.only(), there["address"]
		return nil
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: configuration, Check: leads},
		{
			PreConfig: func() {
				ctx, id := context.Background(), i.only()
				if err := errors.Join(i.region.DeleteServer(ctx, id), i.region.AwaitGone(ctx, id)); err != nil {
					t.Error(err)
				}
			},
			Config: configuration, Check: leads,
		},
		{Config: configuration, PlanOnly: true},
	}})
}
