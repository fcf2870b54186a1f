// Package sshdtest is a machine for tests that is reached by ssh: this one, by a real sshd on a loopback port with
// throw-away keys. Start reading at New.
package sshdtest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
)

// Machine is an sshd of its own with whoever runs the test as its only user.
type Machine struct {
	// Target is how the machine is reached, with its key and the user's.
	Target machine.Target
	// Folder is the one that clients have for ~/.ssh. It has neither keys nor known hosts until a test puts them there.
	Folder string
	// Programs is the folder for programs on the machine.
	Programs string

	t      testing.TB
	folder string
	cmd    *exec.Cmd
}

// New starts one. Further lines of its configuration come first, and so win.
func New(t testing.TB, configuration ...string) *Machine {
	t.Helper()
	folder, err := os.MkdirTemp("", "machine-test-")
	if err != nil {
		t.Fatal(err)
	}
	m := &Machine{t: t, folder: folder, Folder: filepath.Join(folder, "ssh"), Programs: filepath.Join(folder, "programs")}
	t.Cleanup(func() {
		m.Stop()
		_ = os.RemoveAll(folder)
	})
	who, err := user.Current()
	if err == nil {
		err = os.Mkdir(m.Folder, 0o700)
	}
	if err == nil && os.Geteuid() == 0 {
		err = os.MkdirAll("/run/sshd", 0o755) // sshd does not start without, and only its package's unit makes it
	}
	if err != nil {
		t.Fatal(err)
	}
	m.Target = machine.Target{Address: "127.0.0.1", Port: freePort(t), User: who.Username, IdentityFile: m.Key("identity")}
	m.Authorize("identity")
	m.RenewKey()
	m.configure(configuration)
	m.Start()
	return m
}

func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	address, _ := listener.Addr().(*net.TCPAddr)
	return address.Port
}

func (m *Machine) path(name string) string { return filepath.Join(m.folder, name) }

// Key makes a pair of keys and returns the path of the private one.
func (m *Machine) Key(name string, arguments ...string) string {
	m.t.Helper()
	file := m.path(name)
	_ = os.Remove(file)
	command := append([]string{"-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file}, arguments...)
	if out, err := exec.Command("ssh-keygen", command...).CombinedOutput(); err != nil {
		m.t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	return file
}

// Authorize lets the named keys log in, and no other.
func (m *Machine) Authorize(names ...string) {
	m.t.Helper()
	var keys []byte
	for _, name := range names {
		content, err := os.ReadFile(m.path(name + ".pub"))
		if err != nil {
			m.t.Fatal(err)
		}
		keys = append(keys, content...)
	}
	if err := os.WriteFile(m.path("authorized_keys"), keys, 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// RenewKey gives the machine another key, as if it were installed anew; its next start uses it.
func (m *Machine) RenewKey() {
	m.t.Helper()
	content, err := os.ReadFile(m.Key("host_key") + ".pub")
	if err != nil {
		m.t.Fatal(err)
	}
	m.Target.HostKey = strings.TrimSpace(string(content))
}

// LearnKey puts the machine's key among the known hosts, and out of the target.
func (m *Machine) LearnKey() {
	m.t.Helper()
	line := fmt.Sprintf("[%s]:%d %s\n", m.Target.Address, m.Target.Port, m.Target.HostKey)
	if err := os.WriteFile(filepath.Join(m.Folder, "known_hosts"), []byte(line), 0o600); err != nil {
		m.t.Fatal(err)
	}
	m.Target.HostKey = ""
}

func (m *Machine) configure(lines []string) {
	m.t.Helper()
	text := strings.Join(append(lines,
		"Port "+strconv.Itoa(m.Target.Port), "ListenAddress "+m.Target.Address, "HostKey "+m.path("host_key"),
		"AuthorizedKeysFile "+m.path("authorized_keys"), "PidFile none", "UsePAM no", "StrictModes no", "UseDNS no",
		"PermitRootLogin yes", "PasswordAuthentication no", "Subsystem sftp internal-sftp"), "\n") + "\n"
	if err := os.WriteFile(m.path("sshd_config"), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// Start starts the sshd, which the test has stopped.
func (m *Machine) Start() {
	m.t.Helper()
	var said bytes.Buffer
	m.cmd = exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", m.path("sshd_config"))
	m.cmd.Stdout, m.cmd.Stderr = &said, &said
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := m.cmd.Start(); err != nil {
		m.t.Fatalf("%v (apt install openssh-server)", err)
	}
	address := net.JoinHostPort(m.Target.Address, strconv.Itoa(m.Target.Port))
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			_ = connection.Close()
			return
		}
		if time.Now().After(deadline) {
			m.Stop()
			m.t.Fatalf("sshd does not start: %s", said.String())
		}
	}
}

// Stop ends the sshd and all that it serves, as a machine does whose power fails: what was started over it runs on without
// anybody to talk to.
func (m *Machine) Stop() {
	if m.cmd == nil {
		return
	}
	for _, pid := range m.sessions() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = m.cmd.Process.Kill()
	if err := m.cmd.Wait(); err != nil && m.cmd.ProcessState == nil {
		m.t.Error(err)
	}
	m.cmd = nil
}

// sessions are the processes of sshd that serve somebody: the children of ours, and their children of the same name.
func (m *Machine) sessions() (pids []int) {
	for todo := []int{m.cmd.Process.Pid}; len(todo) > 0; todo = todo[1:] {
		for _, pid := range children(todo[0]) {
			name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			if err == nil && strings.HasPrefix(string(name), "sshd") {
				pids, todo = append(pids, pid), append(todo, pid)
			}
		}
	}
	return pids
}

// Agents are the processes that run a program from the folder for programs.
func (m *Machine) Agents() (pids []int) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, m.Programs+"/") {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func children(parent int) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		content, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) || err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(content), ") ")
		fields := strings.Fields(rest)
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
