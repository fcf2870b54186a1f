//go:build openstack

package main

import (
	"bytes"
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// Tests in this file start and end clouds of their own, and are called TestLife... by that. Others use the one that they are given.

// program builds the command, for the signals that it is sent.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "openstack")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	return path
}

// places makes a folder in which every account can make one.
func places(t *testing.T) string {
	t.Helper()
	place, err := os.MkdirTemp("", "openstack-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(place, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(place); err != nil {
			t.Error(err)
		}
	})
	return place
}

// cache is where `make` has it, so that the databases are made once.
const cache = "../../" + defaultCache

// call runs the command and returns what it printed, and how long it took.
func call(t *testing.T, program string, arguments ...string) (string, time.Duration) {
	t.Helper()
	begin := time.Now()
	var out bytes.Buffer
	c := exec.CommandContext(t.Context(), program, arguments...)
	c.Stdout, c.Stderr = &out, os.Stderr
	if err := c.Run(); err != nil {
		t.Fatalf("openstack %s: %v", strings.Join(arguments, " "), err)
	}
	took := time.Since(begin)
	t.Logf("openstack %s: %.1f s", arguments[0], took.Seconds())
	return out.String(), took
}

// processesOf are those that bear the folder's mark: their arguments by their ids. What a process has forked of itself is not among them:
// some do that for a moment.
func processesOf(t *testing.T, folder string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	found, parents := map[string]string{}, map[string]string{}
	for _, path := range paths {
		content, err := os.ReadFile(filepath.Join(path, "environ"))
		if err != nil || !bytes.Contains(content, []byte(host.DirectoryMark+"="+folder)) {
			continue
		}
		arguments, err := os.ReadFile(filepath.Join(path, "cmdline"))
		if err != nil {
			continue // it has ended
		}
		id := filepath.Base(path)
		found[id] = string(bytes.ReplaceAll(arguments, []byte{0}, []byte{' '}))
		if status, err := os.ReadFile(filepath.Join(path, "status")); err == nil {
			_, after, _ := strings.Cut(string(status), "PPid:")
			parents[id], _, _ = strings.Cut(strings.TrimSpace(after), "\n")
		}
	}
	originals := maps.Clone(found)
	for id, parent := range parents {
		if originals[parent] == originals[id] {
			delete(found, id)
		}
	}
	return found
}

// TestLifeOfUp kills one start after the other, each further on. The last one is left alone and finishes the work.
func TestLifeOfUp(t *testing.T) {
	t.Parallel()
	bin, place := program(t), places(t)
	folder := filepath.Join(place, "cloud")
	t.Cleanup(func() {
		if out, err := exec.Command(bin, "down", "--directory", folder).CombinedOutput(); err != nil {
			t.Errorf("down: %v: %s", err, out)
		}
	})
	for _, moment := range []struct{ what, path, cache string }{
		// In an empty cache nothing is found, so that they have to be made.
		{"the making of the databases", "services/nova-lcy01/etc/nova.conf", filepath.Join(place, "empty")},
		{"the unpacking of the databases", "services/database/data/new", cache},
		{"the start of Keystone", "log/keystone/current", cache},
		{"the start of Nova", "log/nova-compute-lcy01/current", cache},
	} {
		killAt(t, exec.Command(bin, "up", "--directory", folder, "--cache", moment.cache), moment.what, filepath.Join(folder, moment.path))
	}
	call(t, bin, "up", "--directory", folder, "--cache", cache)
	before := processesOf(t, folder)
	for pid, command := range before {
		if strings.Contains(command, "/data/new") || strings.Contains(command, "db_sync") || strings.Contains(command, "db sync") {
			t.Errorf("process %s is left of a start that was killed: %s", pid, command)
		}
	}
	out, _ := call(t, bin, "status", "--directory", folder)
	if said, err := exec.Command(bin, "up", "--guests", "--directory", folder).CombinedOutput(); err == nil ||
		!bytes.Contains(said, []byte("was made without guests")) {
		t.Errorf("up --guests in a cloud without: %v: %s", err, said)
	}
	if strings.Contains(out, "down") || strings.Count(out, " up ") < 25 {
		t.Errorf("status:\n%s", out)
	}
	if _, took := call(t, bin, "up", "--directory", folder, "--cache", cache); took > time.Minute {
		t.Errorf("what runs already took %s", took)
	}
	// Commands come and go, services stay.
	if diff := cmp.Diff(before, processesOf(t, folder)); diff != "" {
		t.Errorf("processes before and after (-before +after):\n%s", diff)
	}
	call(t, bin, "down", "--directory", folder)
	if left := processesOf(t, folder); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Lstat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// killAt starts a command and kills it as soon as a file is there, or has changed.
func killAt(t *testing.T, c *exec.Cmd, what, path string) {
	t.Helper()
	before, _ := os.Lstat(path)
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill() // only where what was awaited has not come
	await(t, what, func() bool {
		now, err := os.Lstat(path)
		return err == nil && (before == nil || !now.ModTime().Equal(before.ModTime()))
	})
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err == nil || c.ProcessState.Exited() {
		t.Fatalf("it had ended before %s: %v", what, err)
	}
}

// TestLifeOfRun is killed while its command runs, and has left nothing a while after.
func TestLifeOfRun(t *testing.T) {
	t.Parallel()
	bin, place := program(t), places(t)
	script := `set -e
		test -s "$AUTOPKGTEST_TEST_OPENSTACK/scalingstack-lgw01.rc"
		. "$AUTOPKGTEST_TEST_OPENSTACK/scalingstack-lgw01.rc"
		curl -sf "$OS_AUTH_URL" >"$1/ready"
		exec sleep 1000`
	c := exec.Command(bin, "run", "--place", place, "--cache", cache, "--", "/bin/sh", "-c", script, "sh", place)
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Wait() // it is to be killed
	}()
	// Also where the test has failed: the place must not be taken away from under it.
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM) // it may have ended
		<-ended
	})
	await(t, "the command", func() bool {
		select {
		case <-ended:
			t.Fatal("it has ended before its command began")
		default:
		}
		content, err := os.ReadFile(filepath.Join(place, "ready"))
		return err == nil && len(content) > 0
	})
	if err := os.Remove(filepath.Join(place, "ready")); err != nil {
		t.Fatal(err)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	await(t, "the guard's work", func() bool {
		left, err := os.ReadDir(place)
		return err == nil && len(left) == 0
	})
	if left := processesOf(t, place); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// await looks again and again: what is awaited is done by processes that are not our children.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	awaitFor(t, 10*time.Minute, what, done)
}

func awaitFor(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	begin := time.Now()
	defer func() { t.Logf("%s: after %.1f s", what, time.Since(begin).Seconds()) }()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s for %s", limit, what)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
