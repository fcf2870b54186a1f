//go:build acceptance && openstack && guests

package provider

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"golang.org/x/crypto/ssh"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
)

// preparation is an operator's part of user data: what a service needs before it is put there. The package comes from an archive, and the
// script is run when it is there.
const preparation = `#cloud-config
packages: [hello]
write_files:
- {path: /srv/greet, permissions: '0755', content: "#!/bin/sh\nhello >/srv/greeting\n"}
runcmd:
- [useradd, --system, --home-dir, /srv/service, --create-home, service]
- [/srv/greet]
`

// TestAccOpenStackInstanceBoots has a machine that boots, with all that leads to it: it lets in the key pair's key, whoever its group lets
// near it, when user data have prepared it. Nothing of it is left in the end.
func TestAccOpenStackInstanceBoots(t *testing.T) {
	i := newInstances(t)
	openstacktest.KeepsBelongings(t, i.region)
	identity := filepath.Join(t.TempDir(), "key")
	configuration := func(port, wait, limit string) string {
		of := func(kind, attributes string) string {
			return fmt.Sprintf("resource \"autopkgtest_%s\" \"test\" {\n  cloud = { rc_file = %q }\n  name = %q\n%s\n}\n", kind, i.rc, i.name,
				attributes)
		}
		return i.configuration(fmt.Sprintf("flavor = %q", openstacktest.GuestFlavor), fmt.Sprintf("user_data = %q", preparation),
			fmt.Sprintf("wait_for = %q", wait), fmt.Sprintf("timeouts = { update = %q }", limit),
			`key = autopkgtest_keypair.test.name`, `groups = [autopkgtest_security_group.test.name]`,
			`ssh = { identity_file = autopkgtest_keypair.test.private_key_file }`) +
			of("keypair", fmt.Sprintf("private_key_file = %q", identity)) +
			of("security_group", fmt.Sprintf(`rules = [{ protocol = "tcp", ports = %q, cidr = "0.0.0.0/0" }]`, port)) +
			of("floating_ip", "instance_id = autopkgtest_instance.test.id")
	}
	const boots = "40m" // on a machine that is busy; else two
	empty := resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: configuration("80", "active", boots), ConfigPlanChecks: empty},
		{ // its floating IP is there by now, and nobody is let near it
			Config: configuration("80", "ssh", "40s"),
			ExpectError: regexp.MustCompile(`does\s+not\s+answer\s+ssh\s+at\s+172\.24\.4\.\d+:22:(.|\n)*rule\s+for\s+tcp\s+port\s+22(.|\n)*` +
				`end\s+of\s+its\s+console:\s+\S(.|\n)*timeouts\.update`),
		},
		{Config: configuration("22", "ssh", boots), ConfigPlanChecks: empty},
		{
			Config: configuration("22", "cloud-init", boots), ConfigPlanChecks: empty,
			ConfigStateChecks: []statecheck.StateCheck{instanceIs("status", running)},
			Check:             func(s *terraform.State) error { return prepared(s, identity) },
		},
	}})
}

// prepared logs in as root with the key, to the machine with the host key that the state has, and looks.
func prepared(s *terraform.State, identity string) error {
	of := func(address string) map[string]string { return s.RootModule().Resources[address].Primary.Attributes }
	hostKey, _, _, _, err := ssh.ParseAuthorizedKey([]byte(of(instanceAddress)["host_key"]))
	if err != nil {
		return fmt.Errorf("the instance's host key, %q: %w", of(instanceAddress)["host_key"], err)
	}
	content, err := os.ReadFile(identity)
	if err != nil {
		return err
	}
	key, err := ssh.ParsePrivateKey(content)
	if err != nil {
		return err
	}
	place := net.JoinHostPort(of(floatingIPAddress)["address"], "22")
	client, err := ssh.Dial("tcp", place, &ssh.ClientConfig{
		User: machine.DefaultUser, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, Timeout: time.Minute,
		HostKeyCallback: ssh.FixedHostKey(hostKey), HostKeyAlgorithms: []string{hostKey.Type()}, // the machine has others beside it
	})
	if err != nil {
		return fmt.Errorf("log in to %s: %w", place, err)
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	said, err := session.CombinedOutput("id --user && hostname && getent hosts \"$(hostname)\" >/dev/null && " +
		"stat --format=%U /srv/service && cat /srv/greeting")
	if want := fmt.Sprintf("0\n%s\nservice\nHello, world!\n", of(instanceAddress)["name"]); err != nil || string(said) != want {
		return fmt.Errorf("the machine says %q, %w; want %q", said, err, want)
	}
	return nil
}
