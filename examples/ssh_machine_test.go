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

// connect lets two machines reach each other by way of this one, for as long as their cables are there.
func connect(t *testing.T, machines ...*machinetest.Machine) {
	t.Helper()
	for _, m := range machines {
		out, err := exec.Command("ip", "-4", "-o", "route", "get", m.Address()).Output()
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(out), " dev ")
		cable := strings.Fields(after)[0]
		for name, value := range map[string]string{"forwarding": "1", "rp_filter": "0"} {
			if err := os.WriteFile(filepath.Join("/proc/sys/net/ipv4/conf", cable, name), []byte(value), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestSSH deploys the example to two machines, has it run a request, boots the machines anew, and removes it.
func TestSSH(t *testing.T) {
	directory := newStack(t)
	broker, worker := newMachine(t), newMachine(t)
	connect(t, broker, worker)

	// No archive can be reached from there. So a stub is what runs, in the worker's real namespaces.
	stub := filepath.Join(t.TempDir(), "autopkgtest")
	if out, err := exec.Command("go", "build", "-o", stub, "../scripts/bench/autopkgtest").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	worker.Copy(stub, "/usr/bin/autopkgtest")
	image := filepath.Join(t.TempDir(), "bookworm-amd64.tar.zst")
	proven := fmt.Appendf(nil, `{"canary": "passed", "proven": %q}`, time.Now().UTC().Format(time.RFC3339))
	for name, content := range map[string][]byte{image: []byte("stands in"), testbed.InfoPath(image): proven} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
		worker.Run("mkdir", "-p", "/srv/images")
		worker.Copy(name, "/srv/images/"+filepath.Base(name))
	}

	c := newCLI(t, "-var=directory="+directory, "-var=results_may_go=true", "-var=broker_machine="+variable(broker),
		"-var=worker_machine="+variable(worker), `-var=images=["/srv/images/bookworm-amd64.tar.zst"]`)
	c.copyExample("ssh")
	c.run("apply")
	c.planIsEmpty()
	runRequest(t, c, worker, "green/1")

	broker.Reboot()
	worker.Reboot()
	connect(t, broker, worker)
	if _, err := c.try("plan", "-detailed-exitcode"); err == nil {
		t.Error("a plan after the reboot says that all runs, though nothing has started it")
	}
	c.run("apply")
	c.planIsEmpty()
	runRequest(t, c, worker, "green/2")

	c.run("destroy")
	nothingIsLeft(t, directory)
	for _, m := range []*machinetest.Machine{broker, worker} {
		if out := m.Run("sh", "-c", "ls -d /srv/autopkgtest 2>&1 || true; pgrep -u autopkgtest-cloud -a || true"); !strings.Contains(out, "No such file") ||
			strings.Contains(out, "runsv") {
			t.Errorf("left behind: %s", out)
		}
	}
}

// runRequest requests a test as britney does, from this machine, and waits until the website shows its result.
func runRequest(t *testing.T, c *cli, worker *machinetest.Machine, trigger string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
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
	address := c.output("url") + "api/v1/results?package=green"
	for {
		shown := "nothing"
		if resp, err := http.Get(address); err == nil {
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			shown = string(body)
		}
		if strings.Contains(shown, trigger) {
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
