//go:build openstack

package nova

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/quotasets"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/quotas"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
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

// writePlan writes the plan of a testbed. The folder of the file, which is made if need be, becomes the folder of its account.
func writePlan(t testing.TB, of testbed.Furniture, path string) {
	t.Helper()
	var plan Plan
	err := readPlan([]byte(of.Files[planPath]), &plan)
	plan.Account = filepath.Dir(path)
	text, failed := json.Marshal(plan)
	if err := errors.Join(err, failed, os.MkdirAll(plan.Account, 0o700), os.WriteFile(path, text, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// callScript is a call of the set-up script with a plan, in a process of its own.
func callScript(plan, verb string, sshd localSSHD) *exec.Cmd {
	call := exec.Command(os.Args[0], Verb, plan, verb)
	call.Env = append(os.Environ(), sshdVariable+"="+strconv.Itoa(sshd.port))
	return call
}

// project is one of the test's own, with a network.
type project struct {
	*openstacktest.Project
	rc     string // RC file of what the test gives to a worker, and of region
	region *openstack.Region
}

// newProject makes one that may have so many instances.
func newProject(t testing.TB, instances int) project {
	t.Helper()
	made := openstacktest.NewProject(t, openstacktest.Lcy01)
	return furnish(t, made, made.RC, instances)
}

// newProjectBetween makes one that is reached through somebody in between.
func newProjectBetween(t testing.TB, instances int) (project, *openstacktest.Between) {
	t.Helper()
	made := openstacktest.NewProject(t, openstacktest.Lcy01)
	between := made.Between()
	return furnish(t, made, between.RCFile(t, nil), instances), between
}

func furnish(t testing.TB, made *openstacktest.Project, rc string, instances int) project {
	t.Helper()
	cores, ram, ports := 4*instances, 4096*instances, instances+10
	made.ComputeQuota(quotasets.UpdateOpts{Instances: &instances, Cores: &cores, RAM: &ram})
	made.NetworkQuota(quotas.UpdateOpts{Port: &ports})
	made.Network("10.99.0.0/22")
	region, err := OpenRegion(new(openstack.Sessions), rc)
	if err != nil {
		t.Fatal(err)
	}
	p := project{Project: made, rc: rc, region: region}
	t.Cleanup(func() { p.empty(t) })
	return p
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
