//go:build component

package testbed

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain makes this test's program the first process of its own runs.
func TestMain(m *testing.M) {
	InsideMain()
	if os.Getenv(orphanVariable) != "" {
		orphan()
	}
	os.Exit(m.Run())
}

// mustBeRoot ends a test that an account without privileges cannot do; it says so instead of failing, because such an
// account cannot use these backends either.
func mustBeRoot(t testing.TB) bool {
	t.Helper()
	if os.Geteuid() == 0 {
		return true
	}
	t.Log("not root: privileged runs are neither possible nor tried")
	return false
}

func shell(t testing.TB, script string) confinement {
	t.Helper()
	return confinement{
		inside:     insideConfig{Argv: []string{"/bin/sh", "-c", script}, Env: environment("/tmp"), Dir: "/"},
		privileged: true, grace: time.Second, log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

func testFilter(t *testing.T) string {
	t.Helper()
	f, err := machineFilter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return f.ruleset()
}

// TestPrivilegedTree is a run of a backend that must be root of this machine.
func TestPrivilegedTree(t *testing.T) {
	t.Parallel()
	if !mustBeRoot(t) {
		return
	}
	at, shared := t.TempDir(), t.TempDir()
	view := systemTree(at)
	view.Privileged = true
	view.Binds = append(view.Binds, bind{From: shared, To: "/var/lib/lxc", Write: true})
	run := shell(t, `
		set -e
		echo "pids $(echo /proc/[0-9]* | wc -w) root $(id -u) name $(hostname)"
		echo "interfaces $(cd /sys/class/net; echo *)"
		cat /proc/self/uid_map
		touch /var/lib/lxc/written
		test ! -e /root/.profile; test ! -e /srv; test ! -e /home
		test -c /dev/pts/ptmx; ls /sys/fs/cgroup | grep -q .
		! touch /usr/bin/written 2>/dev/null
		ip link add probe0 type bridge; ip link set probe0 up; test -e /sys/class/net/probe0
		grep CapBnd /proc/self/status
	`)
	run.inside.Tree, run.inside.Network = &view, &insideNetwork{Filter: testFilter(t)}
	var out, said bytes.Buffer
	run.stdout, run.stderr = &out, &said
	done, err := run.run(t.Context())
	t.Logf("%s%s", out.String(), said.String())
	if err != nil || done.status.shell() != 0 {
		t.Fatalf("%+v, %v", done.status, err)
	}
	for _, want := range []string{"root 0 name " + Hostname, "interfaces lo " + wayOutDevice, "         0          0 4294967295"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output has no %q", want)
		}
	}
	if _, err := os.Stat(filepath.Join(shared, "written")); err != nil {
		t.Error(err)
	}
}

// TestPrivilegedMachine is one that sees this machine's files, less what it must not see.
func TestPrivilegedMachine(t *testing.T) {
	t.Parallel()
	if !mustBeRoot(t) {
		return
	}
	secret := t.TempDir()
	if err := os.WriteFile(filepath.Join(secret, "credentials"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := shell(t, `test ! -e "$0/credentials" && test -d "$0" && test -e /etc/passwd && mkdir "$0/mine" && mount -t tmpfs none /mnt &&
		ls /sys/fs/cgroup && ls /sys/class/net`)
	run.inside.Argv = append(run.inside.Argv, secret)
	run.inside.Hide, run.inside.Network = []string{secret, "/no/such/folder"}, &insideNetwork{Filter: testFilter(t)}
	var out bytes.Buffer
	run.stdout, run.stderr = &out, &out
	if done, err := run.run(t.Context()); err != nil || done.status.shell() != 0 {
		t.Errorf("%+v, %v: %s", done.status, err, out.String())
	}
	if strings.Contains(out.String(), "eth0") {
		t.Errorf("it sees this machine's interfaces: %s", out.String())
	}
	if entries, err := os.ReadDir(secret); err != nil || len(entries) != 1 {
		t.Errorf("the hidden folder was written to: %v, %v", entries, err)
	}
}

// TestPrivilegedEnd cancels a run whose command leaves processes in other sessions.
func TestPrivilegedEnd(t *testing.T) {
	t.Parallel()
	if !mustBeRoot(t) {
		return
	}
	word := filepath.Base(t.TempDir()) + "-" + time.Now().Format("150405.000000000")
	run := shell(t, `setsid sleep 100000 & trap "" TERM; echo up; while :; do sleep 100001; done`)
	run.inside.Env = append(run.inside.Env, "WORD="+word)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	defer in.Close()
	run.stdout = in
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("the reason")
	ended := make(chan error, 1)
	go func() {
		_, err := run.run(ctx)
		ended <- err
	}()
	if err := awaitByte(t.Context(), out, time.Minute); err != nil {
		t.Fatal(err)
	}
	cancel(reason)
	if err := <-ended; !errors.Is(err, reason) {
		t.Errorf("error = %v", err)
	}
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environments {
		if text, _ := os.ReadFile(path); bytes.Contains(text, []byte(word)) {
			t.Errorf("%s is left", path)
		}
	}
}
