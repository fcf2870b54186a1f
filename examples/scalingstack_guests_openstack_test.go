//go:build e2e && openstack && guests && slow

package examples

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

// resultLimit is for a canary and a package, each in a machine of its own that is emulated, boots, and is booted anew.
const resultLimit = time.Hour

const ofInstances = `[autopkgtest]
releases = RELEASE
architectures = ARCHITECTURE
backend = nova

[nova]
image_pattern = IMAGE
flavor = FLAVOR
novaopts = --associate-ip --login=debian --net-id=net_scalingstack
`

// TestScalingstackOnInstances has nothing that stands in for something: broker, store, website and worker are put onto machines of a
// real OpenStack, which boot and have none of their packages; a package's tests run in another one; and all of it is removed. On emulated
// machines packages are installed in a quarter of an hour.
func TestScalingstackOnInstances(t *testing.T) {
	q := testbedtest.ThisMachine(t)
	services := openstacktest.Region(t, openstacktest.Prodstack, openstacktest.Lcy01)
	testbeds := openstacktest.Region(t, openstacktest.Scalingstack, openstacktest.Lcy01)
	openstacktest.KeepsBelongings(t, services, testbeds)

	directory, folder := newStack(t), t.TempDir()
	conf := filepath.Join(folder, "worker.conf")
	write(t, conf, strings.NewReplacer("RELEASE", q.Release, "ARCHITECTURE", q.Architecture,
		"IMAGE", openstacktest.GuestImage, "FLAVOR", openstacktest.GuestFlavor).Replace(ofInstances))
	s := newCLI(t, "-var=directory="+directory, "-var=worker_conf="+conf,
		"-var=services_rc_file="+openstacktest.RCFile(t, openstacktest.Prodstack, openstacktest.Lcy01),
		fmt.Sprintf("-var=rc_files=[%q]", openstacktest.RCFile(t, openstacktest.Scalingstack, openstacktest.Lcy01)),
		"-var=image_pattern="+openstacktest.GuestImage, "-var=flavor="+openstacktest.GuestFlavor, `-var=gatekeepers=["172.24.4.1"]`,
		"-var=slots=1", "-var=drain_timeout=1s", "-var=all_may_go=true")
	s.copyExample("scalingstack")
	for kind, name := range map[string]string{"rabbitmq_server": "broker", "swift_server": "store", "worker": "worker", "web": "web"} {
		s.write(kind+"_override.tf", fmt.Sprintf("resource \"autopkgtest_%s\" %q {\n  timeouts = { create = \"1h\" }\n}\n", kind, name))
	}
	s.write("instances_override.tf", fmt.Sprintf("resource \"autopkgtest_instance\" \"machines\" {\n"+
		"  user_data = each.key == \"worker\" ? %q : null\n}\n", cloudForGuests(t, testbeds)))
	t.Cleanup(func() {
		if t.Failed() {
			if out, err := s.try("destroy"); err != nil {
				t.Errorf("what a failed test has made is left: %v\n%s", err, out)
			}
		}
	})

	s.run("apply")
	s.planIsEmpty()
	account, err := config.ReadBroker(s.output("britney_credentials_file"))
	if err != nil {
		t.Fatal(err)
	}
	session, err := queue.Dial(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Publish(t.Context(), "", q.Name(), []byte("gzip\n{\"triggers\": [\"gzip/1\"]}"), true); err != nil {
		t.Fatal(err)
	}
	if err := session.Close(); err != nil {
		t.Error(err)
	}
	page := strings.TrimSuffix(s.output("page"), "/") + "/api/v1/results?package=gzip"
	for begin, shown := time.Now(), ""; !strings.Contains(shown, `"gzip/1"`); time.Sleep(5 * time.Second) {
		if time.Since(begin) > resultLimit {
			t.Fatalf("no result of gzip is shown, but %s", shown)
		}
		if resp, err := http.Get(page); err == nil {
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if shown = string(body); strings.Contains(shown, `"gzip/1"`) && !strings.Contains(shown, `"pass"`) {
				t.Errorf("the tests of gzip did not pass: %s", shown)
			}
		}
	}

	s.run("destroy")
	nothingIsLeft(t, directory)
}

// cloudForGuests are user data by which a machine of the tests' cloud reaches that cloud, whose services are on loopback of the machine
// that the test runs on: both sides pass on what comes to the same ports, here at the address that guests see of this machine.
func cloudForGuests(t *testing.T, region *openstack.Region) string {
	t.Helper()
	files, commands := "#cloud-config\nwrite_files:\n", "runcmd:\n- [systemctl, daemon-reload]\n"
	gateway := addressBeside(t, "172.24.4.")
	for _, place := range endpoints(t, region) {
		address, port, err := net.SplitHostPort(place)
		if err != nil {
			t.Fatal(err)
		}
		outside := net.JoinHostPort(gateway, port)
		passOn(t, outside, place)
		files += fmt.Sprintf(`- path: /etc/systemd/system/cloud-%[1]s.socket
  content: |
    [Socket]
    ListenStream=%[2]s:%[1]s
- path: /etc/systemd/system/cloud-%[1]s.service
  content: |
    [Service]
    ExecStart=/lib/systemd/systemd-socket-proxyd %[3]s
`, port, address, outside)
		commands += "- [systemctl, start, cloud-" + port + ".socket]\n"
	}
	return files + commands
}

// endpoints are where the services of a region listen, HOST:PORT.
func endpoints(t *testing.T, region *openstack.Region) (all []string) {
	t.Helper()
	places := []string{region.Cloud().AuthURL}
	for _, service := range []openstack.Service{openstack.Compute, openstack.Network, openstack.Image} {
		if err := region.Do(t.Context(), service, func(client *gophercloud.ServiceClient) error {
			places = append(places, client.Endpoint)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, place := range places {
		parsed, err := url.Parse(place)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, parsed.Host)
	}
	return all
}

// addressBeside is this machine's own address in a network.
func addressBeside(t *testing.T, network string) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if prefix, ok := address.(*net.IPNet); ok && strings.HasPrefix(prefix.IP.String(), network) {
			return prefix.IP.String()
		}
	}
	t.Fatalf("this machine has no address in %s0; it has %v", network, addresses)
	return ""
}

// passOn passes each connection to one address on to another, as long as the test runs.
func passOn(t *testing.T, from, to string) {
	t.Helper()
	listener, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer near.Close()
				far, err := new(net.Dialer).DialContext(context.Background(), "tcp", to)
				if err != nil {
					return // whoever called sees a connection that has ended
				}
				defer far.Close()
				go func() { _, _ = io.Copy(far, near); far.Close() }()
				_, _ = io.Copy(near, far)
			}()
		}
	}()
}
