//go:build e2e && machine

package examples

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machinetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// newMachine boots one, with what scripts/setup would put there.
func newMachine(t *testing.T) *machinetest.Machine {
	t.Helper()
	m := machinetest.Start(t)
	// Names are asked for nowhere: the question of a broker who its own address is would otherwise wait for an answer.
	m.Run("sh", "-c", `set -e
echo nameserver 127.0.0.1 >/etc/resolv.conf
apt-get install -qq memcached >/dev/null 2>&1
systemctl disable --now --quiet memcached
useradd --system --user-group --home-dir /var/lib/autopkgtest-cloud --no-create-home --shell /usr/sbin/nologin autopkgtest-cloud
install -d -o autopkgtest-cloud -g autopkgtest-cloud -m 0755 /var/lib/autopkgtest-cloud
usermod --add-subuids 200000-265535 --add-subgids 200000-265535 autopkgtest-cloud`)
	return m
}

// variable is a machine as the example takes it.
func variable(m *machinetest.Machine) string {
	return fmt.Sprintf("{address=%q, identity_file=%q, host_key=%q}", m.Address(), m.Key(), hostKey(m))
}

// hostKey is the machine's key without its address.
func hostKey(m *machinetest.Machine) string {
	content, err := os.ReadFile(m.KnownHosts())
	if err != nil {
		return err.Error()
	}
	_, key, _ := strings.Cut(strings.TrimSpace(strings.SplitN(string(content), "\n", 2)[0]), " ")
	return key
}

// sshStack is the example on two machines, with a client that applies it from here.
type sshStack struct {
	*cli
	directory      string // of the passwords
	broker, worker *machinetest.Machine
}

func newSSHStack(t *testing.T, boot func(*testing.T) *machinetest.Machine, variables ...string) sshStack {
	t.Helper()
	s := sshStack{directory: newStack(t), broker: boot(t), worker: boot(t)}

	// No archive can be reached from there. So a stub is what runs, in the worker's real namespaces.
	stub := filepath.Join(t.TempDir(), "autopkgtest")
	if out, err := exec.Command("go", "build", "-o", stub, "../scripts/bench/autopkgtest").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.worker.Copy(stub, "/usr/bin/autopkgtest")
	image := filepath.Join(t.TempDir(), "bookworm-amd64.tar.zst")
	proven := fmt.Appendf(nil, `{"canary": "passed", "proven": %q}`, time.Now().UTC().Format(time.RFC3339))
	for name, content := range map[string][]byte{image: []byte("stands in"), testbed.InfoPath(image): proven} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
		s.worker.Run("mkdir", "-p", "/srv/images")
		s.worker.Copy(name, "/srv/images/"+filepath.Base(name))
	}
	s.cli = newCLI(t, append(variables, "-var=directory="+s.directory, "-var=results_may_go=true",
		"-var=broker_machine="+variable(s.broker), "-var=worker_machine="+variable(s.worker),
		`-var=images=["/srv/images/bookworm-amd64.tar.zst"]`)...)
	s.copyExample("ssh")
	return s
}

func (s sshStack) reboot() {
	s.broker.Reboot()
	s.worker.Reboot()
}

// destroy removes all of it, and looks for what is left on the machines.
func (s sshStack) destroy(t *testing.T) {
	t.Helper()
	s.run("destroy")
	nothingIsLeft(t, s.directory)
	for _, m := range []*machinetest.Machine{s.broker, s.worker} {
		if out := m.Run("sh", "-c", `find /srv/autopkgtest /etc/systemd/system -path /srv/autopkgtest -o -name 'autopkgtest-*' 2>/dev/null
			pgrep -u autopkgtest-cloud -a || true`); out != "" {
			t.Errorf("left behind: %s", out)
		}
	}
}

// TestSSH deploys the example to two machines, has it run a request, boots the machines anew, and removes it.
func TestSSH(t *testing.T) {
	s := newSSHStack(t, newMachine)
	s.run("apply")
	s.planIsEmpty()
	runRequest(t, s.cli, s.worker, "green/1")
	s.rotate(t)

	s.reboot()
	if _, err := s.try("plan", "-detailed-exitcode"); err == nil {
		t.Error("a plan after the reboot says that all runs, though nothing has started it")
	}
	s.run("apply")
	s.planIsEmpty()
	runRequest(t, s.cli, s.worker, "green/2")
	s.destroy(t)
}

// TestSSHSystemWide does the same with services that belong to the machines: those lack the account and packages at first, and
// after the boot all is up without an apply.
func TestSSHSystemWide(t *testing.T) {
	s := newSSHStack(t, func(t *testing.T) *machinetest.Machine {
		t.Helper()
		m := machinetest.Start(t)
		m.Run("dpkg", "--purge", "rabbitmq-server")
		return m
	}, "-var=system=true")
	s.run("apply")
	s.planIsEmpty()
	runRequest(t, s.cli, s.worker, "green/1")

	s.reboot()
	await(t, "all is up again", func() bool {
		_, err := s.try("plan", "-detailed-exitcode")
		return err == nil
	})
	runRequest(t, s.cli, s.worker, "green/2")
	s.destroy(t)
}

// rotate gives the users new passwords while a test runs. One apply brings them to the services, which run on, and so does the test.
func (s sshStack) rotate(t *testing.T) {
	t.Helper()
	services := func() string { return s.worker.Run("pgrep", "-f", "/autopkgtest-(worker|collector)[^ ]* --config ") }
	s.worker.Run("sh", "-c", `set -e
mv /usr/bin/autopkgtest /usr/bin/autopkgtest-stub
touch /usr/local/hold
cat >/usr/bin/autopkgtest <<'end'
#!/bin/sh
case " $* " in *" --output-dir "*) while [ -e /usr/local/hold ]; do sleep 0.2; done; esac
exec /usr/bin/autopkgtest-stub "$@"
end
chmod +x /usr/bin/autopkgtest`)
	request(t, s.cli, "green/rotated")
	await(t, "the test runs", func() bool {
		_, err := s.worker.Try("pgrep", "-f", "^/bin/sh /usr/bin/autopkgtest ")
		return err == nil
	})
	before := services()
	s.args = append(s.args, "-var=rotation=2026-11")
	s.run("apply")
	s.planIsEmpty()
	s.worker.Run("rm", "/usr/local/hold")
	awaitResult(t, s.cli, s.worker, "green/rotated")
	if after := services(); after != before {
		t.Errorf("the services were restarted: %s, then %s", before, after)
	}
	s.worker.Run("grep", "-q", "worker-2026-11:", "/srv/autopkgtest/services/worker/etc/broker")
}

// runRequest requests a test, and waits until the website shows its result.
func runRequest(t *testing.T, c *cli, worker *machinetest.Machine, trigger string) {
	t.Helper()
	request(t, c, trigger)
	awaitResult(t, c, worker, trigger)
}

// request does it as britney does, from this machine.
func request(t *testing.T, c *cli, trigger string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	account, err := config.ReadBroker(c.output("britney_credentials_file"))
	if err != nil {
		t.Fatal(err)
	}
	session, err := queue.Dial(ctx, account)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if err := session.Publish(ctx, "", "debci-bookworm-amd64", fmt.Appendf(nil, "green\n{\"triggers\": [%q]}", trigger), true); err != nil {
		t.Fatal(err)
	}
}

func awaitResult(t *testing.T, c *cli, worker *machinetest.Machine, trigger string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	address := c.output("url") + "api/v1/results?package=green"
	for {
		shown := "nothing"
		if resp, err := http.Get(address); err == nil {
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			shown = string(body)
		}
		if strings.Contains(shown, strconv.Quote(trigger)) { // bare, it might be a part of another result's address
			return
		}
		select {
		case <-ctx.Done():
			log, _ := worker.Try("tail", "-n", "40", "/srv/autopkgtest/log/worker/current")
			t.Fatalf("no result for %s is shown, but %s; the worker says:\n%s", trigger, shown, log)
		case <-time.After(500 * time.Millisecond):
		}
	}
}
