//go:build e2e && openstack

package examples

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine/sshdtest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
)

// project is one of the tests' cloud, in one region: with somebody in between for who deploys, and direct access for the test.
type project struct {
	name    string
	between *openstacktest.Between
	rc      string
	region  *openstack.Region
}

func newProject(t *testing.T, user, region string) *project {
	t.Helper()
	between := openstacktest.NewBetween(t, user, region)
	return &project{
		name: user + " in " + region, between: between, rc: between.RCFile(t, nil), region: openstacktest.Region(t, user, region),
	}
}

func (p *project) do(t *testing.T, service openstack.Service, call func(context.Context, *gophercloud.ServiceClient) error) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if err := p.region.Do(ctx, service, func(client *gophercloud.ServiceClient) error { return call(ctx, client) }); err != nil {
		t.Errorf("%s: %v", p.name, err)
	}
}

func (p *project) password() string { return p.region.Cloud().Password.Reveal() }

// contents is what the project has, KIND ID NAME each, and the rules of its group default.
func (p *project) contents(t *testing.T) (all []string) {
	t.Helper()
	has := func(kind, id, name string) { all = append(all, p.name+": "+kind+" "+id+" "+name) }
	found, err := p.region.ServersTagged(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Error(err)
	}
	for _, server := range found {
		has("server", server.ID, server.Name)
	}
	p.do(t, openstack.Compute, func(ctx context.Context, client *gophercloud.ServiceClient) error {
		pages, err := keypairs.List(client, nil).AllPages(ctx)
		if err != nil {
			return err
		}
		found, err := keypairs.ExtractKeyPairs(pages)
		for _, pair := range found {
			has("key", pair.Fingerprint, pair.Name)
		}
		return err
	})
	p.do(t, openstack.Network, func(ctx context.Context, client *gophercloud.ServiceClient) error {
		pages, err := ports.List(client, nil).AllPages(ctx)
		if err != nil {
			return err
		}
		there, err := ports.ExtractPorts(pages)
		for _, port := range there {
			if strings.HasPrefix(port.DeviceOwner, "compute:") || port.DeviceOwner == "" {
				has("port", port.ID, port.Name)
			}
		}
		return err
	})
	p.do(t, openstack.Network, func(ctx context.Context, client *gophercloud.ServiceClient) error {
		pages, err := floatingips.List(client, nil).AllPages(ctx)
		if err != nil {
			return err
		}
		found, err := floatingips.ExtractFloatingIPs(pages)
		for _, address := range found {
			has("address", address.ID, address.FloatingIP)
		}
		return err
	})
	p.do(t, openstack.Network, func(ctx context.Context, client *gophercloud.ServiceClient) error {
		pages, err := groups.List(client, groups.ListOpts{}).AllPages(ctx)
		if err != nil {
			return err
		}
		found, err := groups.ExtractGroups(pages)
		for _, group := range found {
			has("group", group.ID, group.Name)
			for _, rule := range group.Rules {
				if group.Name == "default" {
					has("rule", rule.ID, "")
				}
			}
		}
		return err
	})
	slices.Sort(all)
	return all
}

// network makes one of the test's own, whose addresses no other test has, and which goes with the test.
func (p *project) network(t *testing.T, name, addresses string) {
	t.Helper()
	p.do(t, openstack.Network, func(ctx context.Context, client *gophercloud.ServiceClient) error {
		made, err := networks.Create(ctx, client, networks.CreateOpts{Name: name}).Extract()
		if err != nil {
			return err
		}
		t.Cleanup(func() {
			p.do(t, openstack.Network, func(ctx context.Context, client *gophercloud.ServiceClient) error {
				return networks.Delete(ctx, client, made.ID).ExtractErr()
			})
		})
		return subnets.Create(ctx, client, subnets.CreateOpts{NetworkID: made.ID, CIDR: addresses, IPVersion: gophercloud.IPv4, EnableDHCP: new(bool)}).Err
	})
}

// scalingstack is the example on the tests' cloud. Its hypervisors are simulated, so nobody answers on its instances. In their place the
// services run on this machine, which is reached by a real sshd; and the same sshd answers for the testbeds.
type scalingstack struct {
	*cli
	directory, there string // of the passwords, and of the services
	address          string // of the services
	services         *project
	regions          []*project
	folder           string // of the operator's files
	stack            string
}

const ofScalingstack = `[amqp]
host =
user =
password =

[autopkgtest]
checkout_dir = /CHECKOUT
releases = noble questing
architectures = amd64
contexts = normal ppa
backend = nova

[nova]
image_pattern = testbed
flavor = m1.tiny
novaopts = --keyname=NAME --net-id=NAME --login=user
`

// toLocalSSHD has what this machine sends to the testbeds' port of ssh go to its own sshd.
func toLocalSSHD(t *testing.T, addresses string, port int) {
	t.Helper()
	rule := []string{"OUTPUT", "-d", addresses, "-p", "tcp", "--dport", "22", "-j", "REDIRECT", "--to-ports", strconv.Itoa(port)}
	tables := func(verb string) error {
		out, err := exec.Command("iptables", append([]string{"-w", "-t", "nat", verb}, rule...)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("iptables: %w: %s", err, out)
		}
		return nil
	}
	if err := tables("-A"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tables("-D"); err != nil {
			t.Error(err)
		}
	})
}

// autopkgtest is called in the place of the real one. It has the set-up script make a testbed and log in, and remove it; the rest is a
// stub, which has nothing to say of what testbeds can do.
const autopkgtest = `#!/bin/sh
set -e
for word; do
	case $before in
		-s) script=$word ;;
		--output-dir) output=$word ;;
	esac
	before=$word
done
if [ -z "$script" ]; then exec "$(dirname "$0")/stub" "$@"; fi
"$script" open >/tmp/answers || { "$script" cleanup; exit 16; }
"$script" cleanup
code=0
"$(dirname "$0")/stub" "$@" || code=$?
case " $* " in *autopkgtest-canary*)
	for test in canary root-on-testbed isolation-container isolation-machine reboot; do echo "$test PASS"; done >"$output/summary"
	code=0 ;;
esac
exit $code
`

func newScalingstack(t *testing.T) *scalingstack {
	t.Helper()
	s := &scalingstack{
		directory: newStack(t), there: newStack(t), folder: t.TempDir(), services: newProject(t, openstacktest.Prodstack, openstacktest.Lcy01),
		regions: []*project{
			newProject(t, openstacktest.Scalingstack, openstacktest.Lcy01), newProject(t, openstacktest.Scalingstack, openstacktest.Lgw01),
		},
		address: fmt.Sprintf("127.78.%d.%d", randomByte(), randomByte()),
	}
	m := sshdtest.New(t, "ListenAddress "+s.address)
	name := "test-" + strings.ToLower(rand.Text()[:10])
	addresses := fmt.Sprintf("10.%d.%d.0/24", 128+randomByte()/2, randomByte())
	toLocalSSHD(t, addresses, m.Target.Port)
	for _, region := range s.regions {
		region.network(t, name, addresses)
	}
	runner := filepath.Join(filepath.Dir(s.there), "autopkgtest", "runner")
	if err := errors.Join(os.MkdirAll(runner, 0o755), os.WriteFile(filepath.Join(runner, "autopkgtest"), []byte(autopkgtest), 0o755)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", filepath.Join(runner, "stub"), "../scripts/bench/autopkgtest").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	write(t, s.file("worker.conf"), strings.NewReplacer("/CHECKOUT", filepath.Dir(runner), "NAME", name, "=user", "="+m.Target.User).Replace(ofScalingstack))
	host := fmt.Sprintf("{address=%q, port=%d, user=%q, identity_file=%q, host_key=%q}", s.address, m.Target.Port, m.Target.User,
		m.Target.IdentityFile, m.Target.HostKey)
	s.stack = name
	s.cli = newCLI(t, "-var=stack="+name, "-var=directory="+s.directory, "-var=machine_directory="+s.there, "-var=system=false",
		"-var=worker_conf="+s.file("worker.conf"), "-var=services_rc_file="+s.services.rc, fmt.Sprintf("-var=rc_files=[%q,%q]", s.regions[0].rc, s.regions[1].rc),
		"-var=image_pattern=dummy", "-var=flavor=m1.tiny", "-var=network=net_prodstack", `-var=gatekeepers=["192.0.2.7"]`,
		"-var=drain_timeout=1s", "-var=slots=2", "-var=all_may_go=true", fmt.Sprintf("-var=hosts={broker=%s, web=%s, worker=%s}", host, host, host))
	s.copyExample("scalingstack")
	t.Cleanup(func() {
		if t.Failed() { // other tests use the same projects
			if out, err := s.try("destroy"); err != nil {
				t.Errorf("what a failed test has made is left: %v\n%s", err, out)
			}
		}
	})
	letTestbedsIn(t, m, filepath.Join(s.directory, "keys", "testbeds"))
	return s
}

func (s *scalingstack) file(name string) string { return filepath.Join(s.folder, name) }

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func randomByte() int {
	var b [1]byte
	_, _ = rand.Read(b[:]) // never fails
	return int(b[0])
}

// letTestbedsIn has the sshd accept the testbeds' key as soon as it is made, as cloud-init would have it on a guest.
func letTestbedsIn(t *testing.T, m *sshdtest.Machine, key string) {
	t.Helper()
	done := make(chan struct{})
	var waiting sync.WaitGroup
	t.Cleanup(func() { close(done); waiting.Wait() })
	waiting.Go(func() {
		for {
			if public, err := exec.Command("ssh-keygen", "-y", "-f", key).Output(); err == nil {
				file, err := os.OpenFile(filepath.Join(filepath.Dir(m.Folder), "authorized_keys"), os.O_APPEND|os.O_WRONLY, 0)
				if err == nil {
					_, err = file.Write(public)
					err = errors.Join(err, file.Close())
				}
				if err != nil {
					t.Error(err)
				}
				return
			}
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
}

// contents is what all of the projects have.
func (s *scalingstack) contents(t *testing.T) []string {
	t.Helper()
	all := s.services.contents(t)
	for _, region := range s.regions {
		all = append(all, region.contents(t)...)
	}
	return all
}
