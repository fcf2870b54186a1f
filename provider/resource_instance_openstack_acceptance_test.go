//go:build acceptance && openstack

package provider

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine/sshdtest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/programtest"
)

const instanceAddress = "autopkgtest_instance.test"

// instances is a region for a test of instances, and names that are nobody else's in it.
type instances struct {
	t      *testing.T
	rc     string
	region *openstack.Region
	name   string
}

func newInstances(t *testing.T) *instances {
	t.Helper()
	return newInstancesBy(t, openstacktest.RCFile(t, openstacktest.Scalingstack, openstacktest.Lcy01))
}

// newInstancesBy has Terraform use another file than the test itself.
func newInstancesBy(t *testing.T, rc string) *instances {
	t.Helper()
	i := &instances{t: t, rc: rc, region: openstacktest.Region(t, openstacktest.Scalingstack, openstacktest.Lcy01), name: "test-" + strings.ToLower(rand.Text())}
	t.Cleanup(func() {
		for _, server := range i.servers() {
			t.Errorf("%s (%s) is left behind", server.Name, server.ID)
			if err := i.region.DeleteServer(context.Background(), server.ID); err != nil {
				t.Error(err)
			}
		}
	})
	return i
}

// servers are those of the test.
func (i *instances) servers() (own []openstack.Server) {
	all, err := i.region.ServersTagged(context.Background())
	if err != nil {
		i.t.Error(err)
	}
	for _, server := range all {
		if strings.HasPrefix(server.Name, i.name) {
			own = append(own, server)
		}
	}
	return own
}

// only is the id of the only server that there is.
func (i *instances) only() string {
	own := i.servers()
	if len(own) != 1 {
		i.t.Errorf("%d servers, want one", len(own))
		return "none"
	}
	return own[0].ID
}

// act does something to the only server, as somebody with the dashboard does, and waits for a status.
func (i *instances) act(status string, action func(ctx context.Context, client *gophercloud.ServiceClient, id string) error) {
	i.t.Helper()
	i.actAs(i.region, status, action)
}

func (i *instances) actAs(who *openstack.Region, status string, action func(ctx context.Context, client *gophercloud.ServiceClient, id string) error) {
	i.t.Helper()
	ctx, id := context.Background(), i.only()
	if err := who.Do(ctx, openstack.Compute, func(client *gophercloud.ServiceClient) error { return action(ctx, client, id) }); err != nil {
		i.t.Error(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		if server, err := i.region.Server(ctx, id); err == nil && server.Status == status {
			return
		} else if time.Now().After(deadline) {
			i.t.Errorf("the server is not %s: %v", status, err)
			return
		}
	}
}

// group makes a security group that goes with the test.
func (i *instances) group() string {
	i.t.Helper()
	ctx := context.Background()
	var id string
	name := i.name + "-" + strings.ToLower(rand.Text())[:6]
	if err := i.region.Do(ctx, openstack.Network, func(client *gophercloud.ServiceClient) error {
		group, err := groups.Create(ctx, client, groups.CreateOpts{Name: name}).Extract()
		if err == nil {
			id = group.ID
		}
		return err
	}); err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() {
		if err := i.region.Do(ctx, openstack.Network, func(client *gophercloud.ServiceClient) error {
			return groups.Delete(ctx, client, id).ExtractErr()
		}); err != nil {
			i.t.Error(err)
		}
	})
	return name
}

// configuration is that of one instance. The lines override what it has already.
func (i *instances) configuration(lines ...string) string {
	attributes := map[string]string{
		"cloud": fmt.Sprintf("{ rc_file = %q }", i.rc), "name": fmt.Sprintf("%q", i.name), "image_pattern": `"testbed"`, "flavor": `"m1.tiny"`,
		"network": `"net_scalingstack"`,
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, " = ")
		attributes[name] = value
	}
	text := "resource \"autopkgtest_instance\" \"test\" {\n"
	for name, value := range attributes {
		text += "  " + name + " = " + value + "\n"
	}
	return "provider \"autopkgtest\" {\n  stack = \"" + i.name + "\"\n}\n" + text + "}\n"
}

func instanceIs(attribute, want string) statecheck.StateCheck {
	return statecheck.ExpectKnownValue(instanceAddress, tfjsonpath.New(attribute), knownvalue.StringExact(want))
}

func instanceAction(action plancheck.ResourceActionType) resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{
		PreApply:             []plancheck.PlanCheck{plancheck.ExpectResourceAction(instanceAddress, action)},
		PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
}

func TestAccOpenStackInstance(t *testing.T) {
	t.Parallel()
	i := newInstances(t)
	one, two := i.group(), i.group()
	var id string
	same := func(want bool) resource.TestCheckFunc {
		return func(s *terraform.State) error {
			now := s.RootModule().Resources[instanceAddress].Primary.Attributes["id"]
			before := id
			if id = now; i.only() != now || before != "" && (before == now) != want {
				return fmt.Errorf("the server is %s, and was %s before", now, before)
			}
			return nil
		}
	}
	full := []string{
		`mirror = "http://mirror.example/ubuntu"`, `security_mirror = "http://mirror.example/security"`, `proxy = "http://proxy.example:3128"`,
		`user_data = "#cloud-config\npackages: [hello]\n"`, `key = "scalingstack"`,
	}
	with := func(lines ...string) string { return i.configuration(append(append([]string{}, full...), lines...)...) }
	grouped := with(fmt.Sprintf("groups = [%q, %q]", one, two), fmt.Sprintf("name = %q", i.name+"-renamed"))
	steps := []resource.TestStep{
		{
			Config: with(), Check: same(true), ConfigPlanChecks: instanceAction(plancheck.ResourceActionCreate),
			ConfigStateChecks: []statecheck.StateCheck{
				instanceIs("status", running), instanceIs("region", openstacktest.Lcy01), instanceIs("image_name", "testbed"),
				instanceIs("network", "net_scalingstack"), instanceIs("wait_for", "active"),
				statecheck.ExpectKnownValue(instanceAddress, tfjsonpath.New("address"), knownvalue.StringRegexp(regexp.MustCompile(`^10\.77\.0\.`))),
				statecheck.ExpectKnownValue(instanceAddress, tfjsonpath.New("port_id"), knownvalue.StringRegexp(uuidPattern)),
				statecheck.ExpectKnownValue(instanceAddress, tfjsonpath.New("image_id"), knownvalue.StringRegexp(uuidPattern)),
				statecheck.ExpectKnownValue(instanceAddress, tfjsonpath.New("host_key"), knownvalue.Null()),
				statecheck.ExpectKnownValue(instanceAddress, tfjsonpath.New("groups"), knownvalue.SetExact([]knownvalue.Check{knownvalue.StringExact("default")})),
			},
		},
		{Config: grouped, Check: same(true), ConfigPlanChecks: instanceAction(plancheck.ResourceActionUpdate)},
		{ // a pattern that still means the image
			Config: with(`image_pattern = "test[a-z]+"`), Check: same(true), ConfigPlanChecks: instanceAction(plancheck.ResourceActionUpdate),
		},
	}
	steps = append(steps, repaired(instanceAddress, `switched off \(SHUTOFF\)`, with(), func() {
		i.act("SHUTOFF", func(ctx context.Context, client *gophercloud.ServiceClient, id string) error {
			return servers.Stop(ctx, client, id).ExtractErr()
		})
	})...)
	steps = append(steps, repaired(instanceAddress, "does not run: PAUSED", with(), func() {
		i.act("PAUSED", func(ctx context.Context, client *gophercloud.ServiceClient, id string) error {
			return servers.Pause(ctx, client, id).ExtractErr()
		})
	})...)
	steps = append(steps, repaired(instanceAddress, "its name was changed to "+i.name+"-x; its list of groups was changed to "+one, with(), func() {
		i.act("ACTIVE", func(ctx context.Context, client *gophercloud.ServiceClient, id string) error {
			action := func(what, group string) error {
				_, err := client.Post(ctx, client.ServiceURL("servers", id, "action"), map[string]any{what: map[string]any{"name": group}}, nil, nil)
				return err
			}
			return errors.Join(servers.Update(ctx, client, id, servers.UpdateOpts{Name: i.name + "-x"}).Err,
				action("addSecurityGroup", one), action("removeSecurityGroup", "default"))
		})
	})...)
	steps = append(steps, repaired(instanceAddress, "in ERROR", with(), func() {
		i.actAs(openstacktest.Region(t, openstacktest.Admin, openstacktest.Lcy01), "ERROR", func(ctx context.Context, client *gophercloud.ServiceClient, id string) error {
			return servers.ResetState(ctx, client, id, servers.StateError).ExtractErr()
		})
	})...)
	steps = append(steps, resource.TestStep{Config: with(), Check: same(true)})
	steps = append(steps, repaired(instanceAddress, instanceGone, with(), func() {
		ctx, server := context.Background(), i.only()
		if err := errors.Join(i.region.DeleteServer(ctx, server), i.region.AwaitGone(ctx, server)); err != nil {
			t.Error(err)
		}
	})...)
	steps = append(steps, resource.TestStep{Config: with(), Check: same(false)}, resource.TestStep{Config: with("network = null"), PlanOnly: true})
	for _, other := range []string{
		`flavor = "m1.small"`, `image_pattern = "dummy"`, `user_data = "#cloud-config\n{}\n"`, `mirror = "http://other.example/ubuntu"`,
		`security_mirror = "http://other.example/security"`, `proxy = "http://other.example:3128"`, `key = null`, `network = "net_other"`, fmt.Sprintf("cloud = { rc_file = %q }", openstacktest.RCFile(t, openstacktest.Scalingstack, openstacktest.Lgw01)),
	} {
		steps = append(steps, resource.TestStep{
			Config: with(other), PlanOnly: true, ExpectNonEmptyPlan: true,
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PostApplyPreRefresh: []plancheck.PlanCheck{plancheck.ExpectResourceAction(instanceAddress, plancheck.ResourceActionDestroyBeforeCreate)},
			},
		})
	}
	steps = append(steps, resource.TestStep{
		Config: with(`flavor = "m1.small"`), Check: same(false), ConfigPlanChecks: instanceAction(plancheck.ResourceActionDestroyBeforeCreate),
	})
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
}

// TestAccOpenStackInstanceImport is alone, since an environment is the whole process's.
func TestAccOpenStackInstanceImport(t *testing.T) {
	c := openstacktest.Cloud(t, openstacktest.Scalingstack, openstacktest.Lcy01)
	for name, value := range map[string]string{
		"OS_AUTH_URL": c.AuthURL, "OS_USERNAME": c.Username, "OS_PASSWORD": c.Password.Reveal(), "OS_PROJECT_NAME": c.ProjectName,
		"OS_USER_DOMAIN_NAME": c.UserDomain.Name, "OS_PROJECT_DOMAIN_NAME": c.ProjectDomain.Name, "OS_REGION_NAME": c.Region,
	} {
		t.Setenv(name, value)
	}
	i := newInstances(t)
	configuration := i.configuration("cloud = null", `key = "scalingstack"`, `user_data = "#cloud-config\n{}\n"`)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: configuration},
		{
			ResourceName: instanceAddress, ImportState: true, ImportStateVerify: true,
			ImportStateIdFunc:       func(*terraform.State) (string, error) { return openstacktest.Lcy01 + "," + i.only(), nil },
			ImportStateVerifyIgnore: []string{"image_pattern", "user_data", "timeouts"},
		},
		{ // what it was prepared with is not known, and no reason to replace it
			Config: configuration, ResourceName: instanceAddress, ImportState: true, ImportStateKind: resource.ImportBlockWithID,
			ImportStateIdFunc: func(*terraform.State) (string, error) { return openstacktest.Lcy01 + "," + i.only(), nil },
			ImportPlanChecks: resource.ImportPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(instanceAddress, plancheck.ResourceActionUpdate),
			}},
			ExpectNonEmptyPlan: true,
		},
		{
			ResourceName: instanceAddress, ImportState: true, ImportStateId: openstacktest.Lcy01 + ",00000000-0000-0000-0000-000000000000",
			ExpectError: regexp.MustCompile(`(?i)non-existent`),
		},
	}})
}

// TestAccOpenStackInstanceIsMadeOnce: whatever is lost on the way, the next attempt ends with one server.
func TestAccOpenStackInstanceIsMadeOnce(t *testing.T) {
	t.Parallel()
	boot := func(s openstacktest.Seen) bool { return s.Method == http.MethodPost && s.Path == "/servers" }
	unavailable := func(w http.ResponseWriter) {
		w.Header().Set("X-Openstack-Request-Id", "req-spoiled")
		w.WriteHeader(http.StatusBadGateway)
	}
	for name, test := range map[string]struct {
		prepare func(b *openstacktest.Between)
		failure string // empty: the attempt itself gets over it
	}{
		"the answer to the boot is lost": {prepare: func(b *openstacktest.Between) { b.Lose(boot) }},
		"the region is away after the boot": {
			prepare: func(b *openstacktest.Between) {
				var booted atomic.Bool
				b.Spoil(func(s openstacktest.Seen, w http.ResponseWriter) bool {
					if !booted.Load() {
						booted.Store(boot(s))
						return false
					}
					if s.Service != "identity" {
						unavailable(w)
					}
					return s.Service != "identity"
				})
			},
			failure: `region\s+lcy01(.|\n)*request\s+req-spoiled(.|\n)*Way out:`,
		},
		"the mark of the making cannot be taken away": {
			prepare: func(b *openstacktest.Between) {
				b.Spoil(func(s openstacktest.Seen, w http.ResponseWriter) bool {
					if s.Method == http.MethodDelete && strings.Contains(s.Path, "/metadata/") {
						unavailable(w)
						return true
					}
					return false
				})
			},
			failure: `region\s+lcy01(.|\n)*request\s+req-spoiled(.|\n)*Way out:`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			between := openstacktest.NewBetween(t, openstacktest.Scalingstack, openstacktest.Lcy01)
			i := newInstancesBy(t, between.RCFile(t, nil))
			steps := []resource.TestStep{{PreConfig: func() { test.prepare(between) }, Config: i.configuration()}}
			if test.failure != "" {
				steps[0].ExpectError = regexp.MustCompile(test.failure)
			}
			steps = append(steps, resource.TestStep{
				PreConfig: func() { between.Spoil(nil); between.Lose(nil); i.only() },
				Config:    i.configuration(),
				Check:     func(*terraform.State) error { i.only(); return nil },
			})
			resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
			if boots := between.Count(http.MethodPost, "compute", "/servers"); boots != 1 {
				t.Errorf("%d servers were asked for", boots)
			}
		})
	}
}

// TestAccOpenStackInstanceStaysBroken: the hypervisors of the tests' cloud repair each server. So somebody in between takes the cold start,
// and does nothing. Once it is let pass, the server is the same.
func TestAccOpenStackInstanceStaysBroken(t *testing.T) {
	t.Parallel()
	between := openstacktest.NewBetween(t, openstacktest.Scalingstack, openstacktest.Lcy01)
	i := newInstancesBy(t, between.RCFile(t, nil))
	admin := openstacktest.Region(t, openstacktest.Admin, openstacktest.Lcy01)
	var id string
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: i.configuration(), Check: func(*terraform.State) error { id = i.only(); return nil }},
		{
			PreConfig: func() {
				i.actAs(admin, openstack.StatusError, func(ctx context.Context, client *gophercloud.ServiceClient, id string) error {
					return servers.ResetState(ctx, client, id, servers.StateError).ExtractErr()
				})
				between.Spoil(func(s openstacktest.Seen, w http.ResponseWriter) bool {
					action := s.Method == http.MethodPost && strings.HasSuffix(s.Path, "/action")
					if action {
						w.WriteHeader(http.StatusAccepted)
					}
					return action
				})
			},
			Config: i.configuration(),
			ExpectError: words(`(?s)a cold start did not help.*region lcy01 of cloud http.*\(request req-.*` +
				`Way out: ask the cloud's operators to repair it; or replace it, which loses what is on its disk`),
		},
		{
			PreConfig: func() { between.Spoil(nil) }, Config: i.configuration(),
			ConfigStateChecks: []statecheck.StateCheck{instanceIs("status", running)},
			Check: func(*terraform.State) error {
				if now := i.only(); now != id {
					return fmt.Errorf("the server is %s, and was %s before", now, id)
				}
				return nil
			},
		},
	}})
}

// TestAccOpenStackInstanceRefuses: each bad day has a message that names the place and the way out, and leaves nothing behind.
func TestAccOpenStackInstanceRefuses(t *testing.T) {
	t.Parallel()
	i := newInstances(t)
	foreign := newInstances(t)
	image, err := i.region.NewestImage(t.Context(), "testbed")
	if err != nil {
		t.Fatal(err)
	}
	flavor, err := i.region.Flavor(t.Context(), "m1.tiny")
	if err != nil {
		t.Fatal(err)
	}
	network, err := i.region.InternalNetwork(t.Context(), "net_scalingstack")
	if err != nil {
		t.Fatal(err)
	}
	id, err := i.region.Boot(t.Context(), openstack.Boot{Name: foreign.name, Image: image.ID, Flavor: flavor.ID, Network: network.ID})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ line, want string }{
		{`name = "-x"`, `host name`}, {`image_pattern = "a("`, `no regular expression`}, {`flavor = ""`, `at least 1`}, {`network = ""`, `at least 1`},
		{`groups = []`, `at least 1`}, {`groups = ["00000000-0000-0000-0000-000000000000"]`, `not its id`}, {`key = ""`, `at least 1`},
		{`user_data = "#!/bin/sh"`, `runcmd`}, {`user_data = "#cloud-config\npassword: x\n"`, `is for secrets`},
		{`mirror = "ftp://x"`, `http://HOST`}, {`security_mirror = "x"`, `http://HOST`}, {`proxy = "http://u:p@x:1"`, `a user or a password`},
		{`wait_for = "luck"`, `host_key`}, {`ssh = { address = "root@x" }`, `host name or an IP`}, {`ssh = { host_key = "x" }`, `ssh-ed25519`},
		{`cloud = { rc_file = "x" }`, `absolute`}, {`timeouts = { create = "soon" }`, `sequence\s+of\s+decimal`},
		{`image_pattern = "ubuntu-xenial"`, `no\s+active\s+image\s+matches(.|\n)*lcy01(.|\n)*Way\s+out`},
		{`flavor = "m9"`, `no\s+flavor(.|\n)*m1\.tiny`}, {fmt.Sprintf("flavor = %q", flavor.ID), `write\s+its\s+name,\s+m1\.tiny`},
		{`network = "net_nowhere"`, `no\s+network(.|\n)*net_scalingstack`},
		{`groups = ["nosuchgroup"]`, `nosuchgroup(.|\n)*request\s+req-`}, {`key = "nosuchkey"`, `Invalid\s+key_name(.|\n)*request\s+req-`},
		{`flavor = "m1.huge"`, `No\s+valid\s+host(.|\n)*region\s+lcy01\s+of\s+cloud(.|\n)*request\s+req-(.|\n)*another\s+region(.|\n)*console`},
		{fmt.Sprintf("name = %q", foreign.name), `there\s+is\s+a\s+server(.|\n)*` + id + `(.|\n)*import\s+id`},
		{`cloud = { rc_file = "` + i.rc + `", region = "lcy99" }`, `lcy99`},
	} {
		t.Run(test.line, func(t *testing.T) {
			resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{{
				Config: i.configuration(test.line), ExpectError: regexp.MustCompile(test.want),
			}}})
			if left := i.servers(); len(left) != 0 {
				t.Errorf("%d servers are left", len(left))
			}
		})
	}
	if err := errors.Join(i.region.DeleteServer(t.Context(), id), i.region.AwaitGone(t.Context(), id)); err != nil {
		t.Error(err)
	}
}

// TestAccOpenStackInstanceWaits: no machine of the tests' cloud answers, as its hypervisors are simulated. So another one stands in: this
// one, by an sshd of the test's own, with a stub of cloud-init; and what a console would show comes from in between.
func TestAccOpenStackInstanceWaits(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	says := func(words string) {
		programtest.Write(t, filepath.Join(folder, "cloud-init"), "#!/bin/sh\n[ \"$2\" = --wait ] || printf '"+words+"'\n")
	}
	machine := sshdtest.New(t, "SetEnv PATH="+folder+":/usr/bin:/bin")
	between := openstacktest.NewBetween(t, openstacktest.Scalingstack, openstacktest.Lcy01)
	i := newInstancesBy(t, between.RCFile(t, nil))
	console := func(text string) {
		between.Spoil(func(s openstacktest.Seen, w http.ResponseWriter) bool {
			if !strings.HasSuffix(s.Path, "/action") || text == "" {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"output": %q}`, text)
			return true
		})
	}
	shown := "-----BEGIN SSH HOST KEY KEYS-----\n" + machine.Target.HostKey + "\n-----END SSH HOST KEY KEYS-----\n"
	access := func(more string) string {
		return fmt.Sprintf("ssh = { address = %q, port = %d, user = %q, identity_file = %q %s }",
			machine.Target.Address, machine.Target.Port, machine.Target.User, machine.Target.IdentityFile, more)
	}
	given := fmt.Sprintf(", host_key = %q", machine.Target.HostKey)
	soon := `timeouts = { update = "40s" }` // a busy cloud takes some for what is no wait
	short := func(lines ...string) string { return i.configuration(append(lines, soon)...) }
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: i.configuration(`timeouts = { create = "15m" }`)},
		{ // the console is in the message, and what it means that the connection is refused
			Config:      short(`wait_for = "ssh"`, `ssh = { address = "127.0.0.1", port = 1 }`),
			ExpectError: regexp.MustCompile(`does\s+not\s+answer\s+ssh\s+at\s+127\.0\.0\.1:1:(.|\n)*has\s+no\s+sshd\s+there(.|\n)*LAST\s+LINE(.|\n)*timeouts\.update`),
		},
		{
			Config:      short(`wait_for = "host_key"`),
			ExpectError: regexp.MustCompile(`shows\s+no\s+host\s+keys\s+on\s+its\s+console(.|\n)*LAST\s+LINE`),
		},
		{
			Config:      short(`wait_for = "cloud-init"`, access("")),
			ExpectError: regexp.MustCompile(`cannot\s+be\s+asked(.|\n)*is\s+not\s+known:\s+it\s+shows\s+the\s+key`),
		},
		{
			PreConfig: func() { console(shown) },
			Config:    i.configuration(`wait_for = "host_key"`), Check: func(*terraform.State) error { i.only(); return nil },
			ConfigStateChecks: []statecheck.StateCheck{instanceIs("host_key", machine.Target.HostKey)},
			ConfigPlanChecks:  instanceAction(plancheck.ResourceActionUpdate),
		},
		{ // what the console showed is believed, and is enough for a login
			PreConfig: func() { says(`status: done\n`) },
			Config:    i.configuration(`wait_for = "cloud-init"`, access("")), ConfigPlanChecks: instanceAction(plancheck.ResourceActionUpdate),
			ConfigStateChecks: []statecheck.StateCheck{instanceIs("host_key", machine.Target.HostKey)},
		},
		{
			PreConfig: func() { console("") },
			Config:    i.configuration(`wait_for = "ssh"`, access(given)), ConfigPlanChecks: instanceAction(plancheck.ResourceActionUpdate),
			ConfigStateChecks: []statecheck.StateCheck{instanceIs("host_key", machine.Target.HostKey)},
		},
		{
			PreConfig:   func() { says(`status: error\ndetail: no mirror\n`) },
			Config:      short(`wait_for = "cloud-init"`, access(given)),
			ExpectError: regexp.MustCompile(`cloud-init\s+has\s+failed(.|\n)*detail:\s+no\s+mirror(.|\n)*LAST\s+LINE`),
		},
		{
			PreConfig: func() { says(`status: disabled\n`) },
			Config:    short(`wait_for = "cloud-init"`, access(given)), ExpectError: regexp.MustCompile(`switched\s+off`),
		},
		{ // somebody else answers
			PreConfig: func() {
				machine.Stop()
				machine.RenewKey()
				machine.Start()
			},
			Config: short(`wait_for = "cloud-init"`, access(given)), ExpectError: regexp.MustCompile(`shows\s+another\s+key`),
		},
		{Config: i.configuration()},
	}})
}

// TestAccOpenStackInstancesAreListedOnce: a plan of several asks for servers once.
func TestAccOpenStackInstancesAreListedOnce(t *testing.T) {
	t.Parallel()
	between := openstacktest.NewBetween(t, openstacktest.Scalingstack, openstacktest.Lcy01)
	i := newInstancesBy(t, between.RCFile(t, nil))
	configuration := i.configuration(`count = 3`, fmt.Sprintf(`name = "%s-${count.index}"`, i.name))
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: configuration},
		{PreConfig: between.Forget, Config: configuration, PlanOnly: true},
		{
			PreConfig: func() {
				for _, s := range between.Requests() {
					if s.Service == "compute" && s.Path != "/" && !strings.HasSuffix(s.Path, "/servers/detail") {
						t.Errorf("a plan asks %v", s)
					}
				}
				// the testing library plans twice, each time by a process of its own
				if lists := between.Count(http.MethodGet, "compute", "/servers/detail"); lists == 0 || lists > 2 {
					t.Errorf("%d lists", lists)
				}
				between.Spoil(func(s openstacktest.Seen, w http.ResponseWriter) bool {
					if s.Service == "compute" {
						openstacktest.Cut(w)
					}
					return false
				})
			},
			Config: configuration, PlanOnly: true, // a plan goes on without the cloud
		},
		{PreConfig: func() { between.Spoil(nil) }, Config: configuration},
	}})
}
