//go:build openstack

package nova

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/quotasets"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/projects"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/roles"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/quotas"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
)

// localSSHD is this machine's own sshd on a port of loopback, in the place of all guests: the hypervisors of the tests' cloud are
// simulated, and nobody answers at the addresses of their servers.
type localSSHD struct {
	key   string // path
	login string
	port  int
}

// sshdVariable tells a set-up process of a test where that is.
const sshdVariable = "AUTOPKGTEST_TEST_NOVA_SSHD"

// reachLocalSSHD is Setup.Reach for processes that a test has started.
func reachLocalSSHD(context.Context, *openstack.Server) (string, int, error) {
	port, err := strconv.Atoi(os.Getenv(sshdVariable))
	return "127.0.0.1", port, err
}

func (s localSSHD) reach(context.Context, *openstack.Server) (string, int, error) {
	return "127.0.0.1", s.port, nil
}

func startLocalSSHD(t testing.TB) localSSHD {
	t.Helper()
	folder := t.TempDir()
	account, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := localSSHD{key: openstacktest.PrivateKey(t), login: account.Username, port: listener.Addr().(*net.TCPAddr).Port}
	listener.Close()
	public, err := publicKey(s.key)
	hostKey := openstacktest.PrivateKey(t)
	if err = errors.Join(err, os.WriteFile(filepath.Join(folder, "authorized_keys"), []byte(public+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s\nAuthorizedKeysFile %s/authorized_keys\nPermitRootLogin yes\n"+
		"UsePAM no\nStrictModes no\nPidFile none\nUseDNS no\nMaxStartups 100\n", s.port, hostKey, folder)
	if err := errors.Join(os.WriteFile(filepath.Join(folder, "sshd_config"), []byte(config), 0o600), os.MkdirAll("/run/sshd", 0o755)); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(folder, "sshd_config"))
	command.Stderr = t.Output()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	for begin := time.Now(); ; {
		if connection, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))); err == nil {
			connection.Close()
			return s
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatal("sshd does not answer")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// project is one of the test's own in the tests' cloud, in one region, which goes with the test.
type project struct {
	id, name string
	rc       string // RC file
	region   *openstack.Region
}

// newProject makes one that may have so many instances. Whoever reaches the cloud through between does so with this project, too.
func newProject(t testing.TB, where string, instances int, between *openstacktest.Between) project {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	source := openstacktest.RCFile(t, openstacktest.Admin, where)
	if between != nil {
		source = between.RCFile(t, nil)
	}
	sessions := new(openstack.Sessions)
	admin, err := OpenRegion(sessions, source)
	if err != nil {
		t.Fatal(err)
	}
	p := project{name: "test-" + strings.ToLower(rand.Text()[:12])}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(admin.Do(ctx, openstack.Identity, func(client *gophercloud.ServiceClient) error {
		made, err := projects.Create(ctx, client, projects.CreateOpts{Name: p.name, DomainID: "default"}).Extract()
		if err != nil {
			return err
		}
		p.id = made.ID
		session, err := client.ProviderClient.GetAuthResult().(tokens.CreateResult).ExtractUser()
		if err != nil {
			return err
		}
		pages, err := roles.List(client, nil).AllPages(ctx)
		if err != nil {
			return err
		}
		all, err := roles.ExtractRoles(pages)
		for _, role := range all {
			if role.Name == "member" {
				err = errors.Join(err, roles.Assign(ctx, client, role.ID, roles.AssignOpts{UserID: session.ID, ProjectID: p.id}).ExtractErr())
			}
		}
		return err
	}))
	t.Cleanup(func() {
		must(admin.Do(ctx, openstack.Identity, func(client *gophercloud.ServiceClient) error { return projects.Delete(ctx, client, p.id).ExtractErr() }))
	})
	quota(t, admin, p.id, instances)
	t.Cleanup(func() {
		must(admin.Do(ctx, openstack.Compute, func(client *gophercloud.ServiceClient) error { return quotasets.Delete(ctx, client, p.id).Err }))
	})
	// The project is in its RC file by its id: administrators are members of several.
	text, err := os.ReadFile(source)
	must(err)
	p.rc = filepath.Join(t.TempDir(), "project.rc")
	changed := regexp.MustCompile(`(?m)^export OS_PROJECT_NAME=.*$`).ReplaceAllString(string(text), "export OS_PROJECT_NAME="+p.name)
	must(os.WriteFile(p.rc, []byte(changed), 0o600))
	p.region, err = OpenRegion(sessions, p.rc)
	must(err)
	p.network(t, admin, instances)
	t.Cleanup(func() { p.empty(t) })
	return p
}

// quota gives a project room for so many instances.
func quota(t testing.TB, admin *openstack.Region, id string, instances int) {
	t.Helper()
	cores, ram := 4*instances, 4096*instances
	if err := admin.Do(t.Context(), openstack.Compute, func(client *gophercloud.ServiceClient) error {
		return quotasets.Update(t.Context(), client, id, quotasets.UpdateOpts{Instances: &instances, Cores: &cores, RAM: &ram}).Err
	}); err != nil {
		t.Fatal(err)
	}
}

// network gives the project one with room for as many instances.
func (p project) network(t testing.TB, admin *openstack.Region, instances int) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	ports := instances + 10
	var id string
	if err := admin.Do(ctx, openstack.Network, func(client *gophercloud.ServiceClient) error {
		if err := quotas.Update(ctx, client, p.id, quotas.UpdateOpts{Port: &ports}).Err; err != nil {
			return err
		}
		made, err := networks.Create(ctx, client, networks.CreateOpts{Name: p.name, ProjectID: p.id}).Extract()
		if err != nil {
			return err
		}
		id = made.ID
		_, err = subnets.Create(ctx, client, subnets.CreateOpts{NetworkID: id, ProjectID: p.id, CIDR: "10.99.0.0/22", IPVersion: gophercloud.IPv4, EnableDHCP: new(bool)}).Extract()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin.Do(ctx, openstack.Network, func(client *gophercloud.ServiceClient) error { return networks.Delete(ctx, client, id).ExtractErr() }); err != nil {
			t.Error(err)
		}
	})
}

// empty removes all servers of the project.
func (p project) empty(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Minute)
	defer cancel()
	found, err := p.region.ServersTagged(ctx)
	if err != nil {
		t.Error(err)
	}
	for _, server := range found {
		if err := p.region.DeleteServer(ctx, server.ID); err != nil {
			t.Error(err)
		}
	}
	for _, server := range found {
		if err := p.region.AwaitGone(ctx, server.ID); err != nil {
			t.Error(err)
		}
	}
}

// servers are all of the project's that are not on their way out.
func (p project) servers(t testing.TB) (all []openstack.Server) {
	t.Helper()
	found, err := p.region.ServersTagged(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range found {
		if server.TaskState != "deleting" && server.Status != "DELETED" {
			all = append(all, server)
		}
	}
	return all
}

// await waits until the project has so many servers.
func (p project) await(t testing.TB, count int) {
	t.Helper()
	p.awaitThat(t, count, func(openstack.Server) bool { return true })
}

// awaitActive waits until it has so many, and all of them run.
func (p project) awaitActive(t testing.TB, count int) {
	t.Helper()
	p.awaitThat(t, count, func(s openstack.Server) bool { return s.Status == "ACTIVE" })
}

func (p project) awaitThat(t testing.TB, count int, ready func(openstack.Server) bool) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(500 * time.Millisecond) {
		got := p.servers(t)
		late := slices.IndexFunc(got, func(s openstack.Server) bool { return !ready(s) })
		if len(got) == count && late < 0 {
			return
		}
		if time.Since(begin) > 10*time.Minute {
			if late >= 0 {
				t.Fatalf("%d servers; %s is %s", len(got), got[late].Name, got[late].Status)
			}
			t.Fatalf("%d servers, want %d", len(got), count)
		}
	}
}
