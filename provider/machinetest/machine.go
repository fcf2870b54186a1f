// Package machinetest starts machines for tests: containers that boot systemd, as a server does, with an address that this
// machine reaches and root's door open to a key.
//
//	m := machinetest.Start(t)
//	out := m.Run("systemctl", "is-system-running", "--wait")
//	ssh := "ssh -i " + m.Key() + " root@" + m.Address()
//	m.Reboot()
//
// A machine goes away with its test whatever becomes of that: a watcher of its own ends it as soon as the test's process is no
// more. Only root can start one, and scripts/with-test-machine must have made its file tree.
package machinetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// treeVariable names the file tree over which each machine lays its own changes.
const treeVariable = "AUTOPKGTEST_TEST_MACHINE"

// bootLimit bounds a boot; it takes two seconds on an idle machine.
const bootLimit = 90 * time.Second

// Machine is a container that is up.
type Machine struct {
	t       testing.TB
	folder  string // everything of it: configuration, changes, key
	name    string
	address string
	cable   string // this machine's end of its network interface
}

// Start boots a machine. It ends with the test.
func Start(t testing.TB) *Machine {
	t.Helper()
	tree := os.Getenv(treeVariable)
	if tree == "" || os.Geteuid() != 0 {
		t.Fatalf("a machine needs root and a file tree in %s: run the test with scripts/with-test-machine", treeVariable)
	}
	folder, err := os.MkdirTemp("", "autopkgtest-machine-")
	if err != nil {
		t.Fatal(err)
	}
	m := &Machine{t: t, folder: folder, name: filepath.Base(folder)}
	m.watch()
	if err := m.prepare(tree); err != nil {
		t.Fatal(err)
	}
	m.command("lxc-start", "--daemon")
	m.awaitBoot("")
	m.readDoor()
	return m
}

// Address is the machine's IPv4 address. This machine reaches it, and nobody else does.
func (m *Machine) Address() string { return m.address }

// Key is the file of the private key that opens root's door, by ssh on port 22.
func (m *Machine) Key() string { return filepath.Join(m.folder, "key") }

// KnownHosts is a file that holds the machine's host key for its address.
func (m *Machine) KnownHosts() string { return filepath.Join(m.folder, "known_hosts") }

// Root is the folder in which the machine's files can be seen and changed from outside.
func (m *Machine) Root() string { return filepath.Join("/proc", m.initPID(), "root") }

// Run runs a command as root of the machine and returns what it wrote. The test fails when the command does.
func (m *Machine) Run(argv ...string) string {
	m.t.Helper()
	out, err := m.Try(argv...)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return out
}

// Try runs a command as root of the machine and returns what it wrote, to both outputs, and how it ended.
func (m *Machine) Try(argv ...string) (string, error) {
	m.t.Helper()
	var out bytes.Buffer
	err := m.Command(m.t.Context(), &out, argv...).Run()
	return out.String(), err
}

// Command is one that runs as root of the machine, with an environment of its own, for tests that do more with it than Run.
func (m *Machine) Command(ctx context.Context, output io.Writer, argv ...string) *exec.Cmd {
	arguments := []string{"--name", m.name, "--lxcpath", m.folder, "--clear-env",
		"--set-var", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"--set-var", "HOME=/root", "--set-var", "LANG=C.UTF-8", "--"}
	cmd := exec.CommandContext(ctx, "lxc-attach", append(arguments, argv...)...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.WaitDelay = askLimit // what runs in there can hold the output open when lxc-attach has gone
	return cmd
}

// Copy puts a file of this machine's into the other one.
func (m *Machine) Copy(from, to string) {
	m.t.Helper()
	source, err := os.Open(from)
	if err != nil {
		m.t.Fatal(err)
	}
	defer source.Close()
	var said bytes.Buffer
	cmd := m.Command(m.t.Context(), &said, "sh", "-c", `mkdir -p "$(dirname "$0")" && cat >"$0" && chmod 0755 "$0"`, to)
	cmd.Stdin = source
	if err := cmd.Run(); err != nil {
		m.t.Fatalf("copy %s: %v\n%s", from, err, &said)
	}
}

// Reboot boots it anew and waits until it is up again. Its disk is what stays.
func (m *Machine) Reboot() {
	m.t.Helper()
	before := m.bootID()
	_, _ = m.Try("systemctl", "reboot") // the command may be killed with everything else
	m.awaitBoot(before)
}

// Kill ends it as a power cut would, which leaves whoever is connected without a word. Boot starts it again.
func (m *Machine) Kill() {
	m.t.Helper()
	m.command("lxc-stop", "--kill")
}

// Boot starts a machine that was killed, and waits until it is up. Its disk is what stays.
func (m *Machine) Boot() {
	m.t.Helper()
	m.command("lxc-start", "--daemon")
	m.awaitBoot("")
}

// Cut takes the machine off the network, and Mend brings it back. What runs there goes on meanwhile.
func (m *Machine) Cut() {
	m.t.Helper()
	m.wire("down")
}

// Mend brings a machine back that was taken off the network.
func (m *Machine) Mend() {
	m.t.Helper()
	m.wire("up")
}

// wire changes this machine's end of the cable.
func (m *Machine) wire(state string) {
	m.t.Helper()
	if out, err := exec.CommandContext(m.t.Context(), "ip", "link", "set", m.cable, state).CombinedOutput(); err != nil {
		m.t.Fatalf("the cable %s: %v\n%s", state, err, out)
	}
}

// bootID is another one after each boot. The kernel's is of no use: it is that of the machine outside.
func (m *Machine) bootID() string { return m.initPID() }

// initPID is the number that the container's first process has outside.
func (m *Machine) initPID() string {
	out, err := exec.CommandContext(m.t.Context(), "lxc-info", "--name", m.name, "--lxcpath", m.folder, "--pid", "--no-humanize").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// awaitBoot waits for a boot that is not the given one.
func (m *Machine) awaitBoot(before string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), bootLimit)
	defer cancel()
	for {
		if now := m.bootID(); now != "" && now != before {
			state, err := m.state(ctx)
			if err == nil {
				return
			}
			if state == "degraded" {
				failed, _ := m.Try("systemctl", "--failed", "--no-legend")
				m.t.Logf("the machine is up, but for: %s", failed)
				return
			}
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(m.folder, "log"))
			m.t.Fatalf("the machine does not boot: %v\n%s", ctx.Err(), log)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// askLimit bounds a question to a machine that boots: who is let in early is not always answered.
const askLimit = 5 * time.Second

// state is what systemd says of the machine; there is no error once all is up.
func (m *Machine) state(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	var out bytes.Buffer
	err := m.Command(ctx, &out, "systemctl", "is-system-running").Run()
	return strings.TrimSpace(out.String()), err
}

// command runs one of lxc's tools on the container.
func (m *Machine) command(tool string, arguments ...string) {
	m.t.Helper()
	arguments = append([]string{"--name", m.name, "--lxcpath", m.folder, "--logfile", filepath.Join(m.folder, "log")}, arguments...)
	if out, err := exec.CommandContext(m.t.Context(), tool, arguments...).CombinedOutput(); err != nil {
		log, _ := os.ReadFile(filepath.Join(m.folder, "log"))
		m.t.Fatalf("%s: %v\n%s%s", tool, err, out, log)
	}
}

// readDoor notes the host key of the machine's ssh server.
func (m *Machine) readDoor() {
	m.t.Helper()
	key := strings.TrimSpace(m.Run("cat", "/etc/ssh/ssh_host_ed25519_key.pub"))
	if err := os.WriteFile(m.KnownHosts(), fmt.Appendf(nil, "%s %s\n", m.address, key), 0o600); err != nil {
		m.t.Fatal(err)
	}
}
