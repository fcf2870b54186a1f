//go:build component

package machine_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine/sshdtest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/programtest"
)

// newPool has no agent: a developer's own must not help.
func newPool(t *testing.T, m *sshdtest.Machine) *machine.Pool {
	p := &machine.Pool{Folder: m.Folder, Agent: "/nonexistent", Programs: m.Programs}
	t.Cleanup(p.Close)
	return p
}

func connect(t *testing.T, m *sshdtest.Machine) *machine.Machine {
	t.Helper()
	found, err := newPool(t, m).Machine(t.Context(), m.Target, 0)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestLogins tries each way in which a login fails, and that the message says which machine, why, and what to do.
func TestLogins(t *testing.T) {
	t.Parallel()
	m := sshdtest.New(t)
	good := m.Target
	closed := good
	closed.Port = 1
	foreign, unknown, wrongKey, wrongUser, locked := good, good, good, good, good
	foreign.HostKey = strings.TrimSpace(contentOf(t, m.Key("other_host_key")+".pub"))
	unknown.HostKey = ""
	wrongKey.IdentityFile = m.Key("stranger")
	wrongUser.User = "nobody"
	locked.IdentityFile = m.Key("locked", "-N", "hunter2")
	for name, test := range map[string]struct {
		target machine.Target
		kind   error
		says   []string
	}{
		"works":          {good, nil, nil},
		"refused":        {closed, machine.ErrUnreachable, []string{"port 1", "refused"}},
		"another key":    {foreign, machine.ErrHostKey, []string{"another key", "somebody else", "SHA256:"}},
		"not known":      {unknown, machine.ErrHostKey, []string{"not known", "SHA256:", "host_key", good.HostKey}},
		"wrong identity": {wrongKey, machine.ErrDenied, []string{wrongKey.IdentityFile, "authorized_keys"}},
		"wrong user":     {wrongUser, machine.ErrDenied, []string{"nobody"}},
		"passphrase":     {locked, machine.ErrDenied, []string{"passphrase", "ssh-add"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newPool(t, m).Machine(t.Context(), test.target, 0)
			if !errors.Is(err, test.kind) {
				t.Fatalf("error %v, want %v", err, test.kind)
			}
			for _, text := range append(test.says, test.target.String()) {
				if err != nil && !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
		})
	}
}

func contentOf(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestKnownHosts: the usual files are believed, whatever kinds of keys the machine has besides.
func TestKnownHosts(t *testing.T) {
	t.Parallel()
	m := sshdtest.New(t)
	ecdsa := m.Key("second_host_key", "-t", "ecdsa")
	m.Stop()
	config := filepath.Join(filepath.Dir(ecdsa), "sshd_config")
	if err := os.WriteFile(config, []byte("HostKey "+ecdsa+"\n"+contentOf(t, config)), 0o600); err != nil {
		t.Fatal(err)
	}
	m.Start()
	m.LearnKey()
	connect(t, m)

	m.Stop()
	known := contentOf(t, filepath.Join(m.Folder, "known_hosts"))
	m.RenewKey()
	m.Target.HostKey = ""
	m.Start()
	_, err := newPool(t, m).Machine(t.Context(), m.Target, 0)
	if !errors.Is(err, machine.ErrHostKey) || !strings.Contains(err.Error(), "ssh-keygen -R") {
		t.Errorf("a machine with a new key: %v", err)
	}
	if contentOf(t, filepath.Join(m.Folder, "known_hosts")) != known {
		t.Error("the known hosts were changed")
	}
}

// TestBooting: a machine that does not answer yet is waited for, and the wait ends.
func TestBooting(t *testing.T) {
	t.Parallel()
	m := sshdtest.New(t)
	m.Stop()
	p := newPool(t, m)
	start := time.Now()
	if _, err := p.Machine(t.Context(), m.Target, 1500*time.Millisecond); !errors.Is(err, machine.ErrUnreachable) {
		t.Errorf("%v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s to give up", took)
	}
	up := make(chan error, 1)
	go func() {
		_, err := p.Machine(t.Context(), m.Target, time.Minute)
		up <- err
	}()
	time.Sleep(500 * time.Millisecond)
	m.Start()
	if err := <-up; err != nil {
		t.Error(err)
	}
}

// TestLost: a connection that was lost is an error of its own, and made again for the next one.
func TestLost(t *testing.T) {
	t.Parallel()
	m := sshdtest.New(t)
	p := newPool(t, m)
	first, err := p.Machine(t.Context(), m.Target, 0)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := p.Machine(t.Context(), m.Target, 0); err != nil || again != first {
		t.Errorf("the connection is not shared: %v", err)
	}
	process, err := first.Start(io.Discard, "cat")
	if err != nil {
		t.Fatal(err)
	}
	m.Stop()
	if _, err := process.Read(make([]byte, 1)); err == nil {
		t.Error("a lost process says something")
	}
	if _, _, err := first.ReadFile(t.Context(), "/etc/hostname", 100); !errors.Is(err, machine.ErrLost) && !errors.Is(err, machine.ErrRemote) {
		t.Errorf("%v", err)
	}
	m.Start()
	if again, err := p.Machine(t.Context(), m.Target, 0); err != nil || again == first {
		t.Errorf("%v", err)
	}
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	m := sshdtest.New(t)
	found := connect(t, m)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("content"), 0o640); err != nil {
		t.Fatal(err)
	}
	content, mode, err := found.ReadFile(t.Context(), file, 7)
	if err != nil || string(content) != "content" || mode.Perm() != 0o640 {
		t.Errorf("%q, %v, %v", content, mode, err)
	}
	if _, _, err := found.ReadFile(t.Context(), file+"-not", 7); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), m.Target.String()) {
		t.Errorf("a missing file: %v", err)
	}
	if _, _, err := found.ReadFile(t.Context(), file, 6); err == nil {
		t.Error("a file that is too large was read")
	}
	if _, _, err := found.ReadFile(t.Context(), filepath.Dir(file), 6); err == nil {
		t.Error("a folder was read")
	}
}

// TestInstall puts programs there, replaces one that was damaged, and drops the set that nobody uses.
func TestInstall(t *testing.T) {
	t.Parallel()
	m := sshdtest.New(t)
	found := connect(t, m)
	program := func(content string) machine.Program {
		file := filepath.Join(t.TempDir(), "program")
		programtest.Write(t, file, content)
		sum := sha256.Sum256([]byte(content))
		return machine.Program{Source: file, Name: "linux_any/program", SHA256: hex.EncodeToString(sum[:])}
	}
	hello := program("#!/bin/sh\necho hello\ncat\n")
	folder, err := found.Install(t.Context(), []machine.Program{hello})
	if err != nil {
		t.Fatal(err)
	}
	say := func() string {
		process, err := found.Start(io.Discard, filepath.Join(folder, "linux_any/program"), "it's")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := process.Write([]byte("world")); err != nil {
			t.Error(err)
		}
		_ = process.WriteCloser.Close()
		out, err := io.ReadAll(process)
		if err := errors.Join(err, process.Wait()); err != nil {
			t.Error(err)
		}
		return string(out)
	}
	if out := say(); out != "hello\nworld" {
		t.Errorf("it says %q", out)
	}
	installed := filepath.Join(folder, "linux_any/program")
	if err := os.WriteFile(installed, []byte("#!/bin/sh\necho evil\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if again, err := found.Install(t.Context(), []machine.Program{hello}); err != nil || again != folder {
		t.Errorf("%s, %v", again, err)
	}
	if out := say(); out != "hello\nworld" {
		t.Errorf("a damaged program says %q", out)
	}
	old := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(folder, old, old); err != nil {
		t.Fatal(err)
	}
	other, err := found.Install(t.Context(), []machine.Program{program("another")})
	if err != nil || other == folder {
		t.Errorf("%s, %v", other, err)
	}
	left, err := os.ReadDir(m.Programs)
	if err != nil || len(left) != 1 || filepath.Join(m.Programs, left[0].Name()) != other {
		t.Errorf("in the folder are %v, %v", left, err)
	}
	changed := program("content")
	if err := os.WriteFile(changed.Source, []byte("other"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := found.Install(t.Context(), []machine.Program{changed}); err == nil {
		t.Error("a program that is not what its hash says was put in place")
	}
}

// TestDial goes through the machine, in pieces larger than a window.
func TestDial(t *testing.T) {
	t.Parallel()
	m := sshdtest.New(t)
	found := connect(t, m)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		connection, err := listener.Accept()
		if err == nil {
			_, _ = io.Copy(connection, connection)
			_ = connection.Close()
		}
	}()
	connection, err := found.DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	sent := bytes.Repeat([]byte("0123456789"), 1<<18)
	go func() { _, _ = connection.Write(sent) }()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(connection, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%v", err)
	}
	_ = connection.Close()
	_ = listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := found.DialContext(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(1)); !errors.Is(err, machine.ErrRemote) {
		t.Errorf("%v", err)
	}
}

// TestFacts: another architecture than those that Go knows is still named.
func TestFacts(t *testing.T) {
	t.Parallel()
	fake := t.TempDir()
	programtest.Write(t, filepath.Join(fake, "uname"), "#!/bin/sh\necho Linux aarch64\n")
	m := sshdtest.New(t, "SetEnv PATH="+fake+":/usr/bin:/bin")
	facts, err := connect(t, m).Facts(t.Context())
	if err != nil || facts.Architecture != "arm64" || facts.UID != os.Getuid() || facts.Home == "" {
		t.Errorf("%+v, %v", facts, err)
	}
}
