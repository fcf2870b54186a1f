//go:build slow

package lxd_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/container"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/image/imagetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

// stranger is a container of the operator's daemon that is none of ours, whatever it is called.
const stranger = "autopkgtest-lxd-strngr"

// TestGiven runs tests with an operator's daemon, which outlives them.
func TestGiven(t *testing.T) {
	if !testbedtest.IsOtherMachine() {
		testbedtest.AsAccount(t, "TestImage") // root may not build it, there as here
	}
	if !testbedtest.OnOtherMachine(t) {
		return
	}
	image, queue := imagetest.Machine(t)
	d := startDaemon(t, image, queue.Architecture)
	d.lxc(t, "init", "bookworm", stranger)
	runner, err := testbed.NewRunner(t.Context(), "lxd", slog.New(slog.NewTextHandler(t.Output(), nil)), testbed.WithState(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	job := func(control string) testbed.Job {
		work := t.TempDir()
		return testbed.Job{
			Request: request.Request{Package: "tiny"}, Queue: queue, Source: testbedtest.SourceTree(t, control, nil),
			WorkDir: work, OutputDir: filepath.Join(work, "out"), BackendArguments: []string{"lxd", "bookworm", "-c", "limits.memory=1GiB"},
		}
	}
	left := func() string { return d.lxc(t, "list", "--format", "csv", "--columns", "n") }

	passing := job("Test-Command: hello\nDepends: hello\nRestrictions: isolation-container\n")
	outcome, err := runner.Run(t.Context(), passing)
	log, _ := os.ReadFile(filepath.Join(passing.OutputDir, "log"))
	if err != nil || outcome.ExitCode != 0 || !strings.Contains(string(log), "command1             PASS") {
		t.Fatalf("%+v, %v\n%s", outcome, err, log)
	}
	if got := left(); got != stranger {
		t.Errorf("after a run: %q", got)
	}

	// Without grace, autopkgtest cannot delete its container: that is left, as after the death of a worker.
	killed := job("Test-Command: sleep 100000\nDepends:\n")
	killed.Grace = time.Nanosecond
	reason := errors.New("it is enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	ended := make(chan error, 1)
	go func() {
		_, err := runner.Run(ctx, killed)
		ended <- err
	}()
	testbedtest.Await(t, "the container of a run", func() bool {
		return strings.Contains(d.lxc(t, "list", "--format", "csv", "--columns", "ns"), ",RUNNING")
	})
	if got := strings.Fields(left()); len(got) != 2 || strings.HasPrefix(got[0], "autopkgtest-lxd-") {
		t.Errorf("during a run, which begins with other letters: %q", got)
	}
	cancel(reason)
	if err := <-ended; !errors.Is(err, reason) {
		t.Errorf("the run ended with %v", err)
	}
	if got := left(); got != stranger {
		t.Errorf("after a run that was killed: %q", got)
	}
}

// daemon is LXD with an image called bookworm.
type daemon struct{ folder string }

// daemonScript starts LXD with mounts and processes of its own, all of which end with the shell.
const daemonScript = `set -e
mount --make-rprivate /
mount -t proc proc /proc
mount --rbind /sys/fs/cgroup "$LXD_DIR/groups"
mount -t sysfs sysfs /sys
mount --rbind "$LXD_DIR/groups" /sys/fs/cgroup
mount --bind "$LXD_DIR/lxcfs" /var/lib/lxcfs
lxcfs --foreground /var/lib/lxcfs &
exec lxd --group root
`

const daemonSettings = `storage_pools:
- {name: default, driver: dir}
profiles:
- name: default
  config:
    raw.lxc: |-
      lxc.net.0.ipv4.address = ` + container.Address + `
      lxc.net.0.ipv4.gateway = ` + container.Gateway + `
  devices:
    root: {type: disk, pool: default, path: /}
    eth0: {type: nic, nictype: bridged, parent: ` + container.Bridge + `, name: eth0}
`

func startDaemon(t *testing.T, image, architecture string) daemon {
	t.Helper()
	folder, err := os.MkdirTemp("", "lxd-") // its socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	d := daemon{folder}
	t.Setenv("LXD_DIR", folder)
	t.Setenv("LXD_CONF", filepath.Join(folder, "conf"))
	for _, name := range []string{"groups", "lxcfs", "conf"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d.run(t, "", "sh", "-ec", container.Network)
	program := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", daemonScript)
	program.Env = append(os.Environ(), "LXD_DIR="+folder)
	var said bytes.Buffer
	program.Stdout, program.Stderr = &said, &said
	program.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// With their control groups, which the end of the daemon would leave.
		out, _ := exec.Command("lxc", "list", "--format", "csv", "--columns", "n").Output()
		_ = exec.Command("lxc", append([]string{"delete", "--force"}, strings.Fields(string(out))...)...).Run()
		_ = program.Process.Kill()
		_ = program.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	d.run(t, "", "lxd", "waitready", "--timeout=60")
	d.run(t, daemonSettings, "lxd", "init", "--preseed")
	metadata := filepath.Join(folder, "metadata.yaml")
	if err := os.WriteFile(metadata, []byte("architecture: "+architecture+"\ncreation_date: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.run(t, "", "tar", "-cf", metadata+".tar", "-C", folder, "metadata.yaml")
	d.lxc(t, "image", "import", metadata+".tar", image, "--alias", "bookworm")
	return d
}

func (d daemon) lxc(t *testing.T, args ...string) string {
	t.Helper()
	return d.run(t, "", "lxc", args...)
}

// run gives a text to a program and returns what it printed.
func (d daemon) run(t *testing.T, text, name string, args ...string) string {
	t.Helper()
	command := exec.Command(name, args...)
	command.Stdin = strings.NewReader(text)
	var said bytes.Buffer
	command.Stderr = &said
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, said.String())
	}
	return strings.TrimSpace(string(out))
}
