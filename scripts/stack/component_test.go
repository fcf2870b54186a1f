//go:build component

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// patience bounds each wait for another process, far above what an idle machine needs.
const patience = 3 * time.Minute

// program builds the command once. Signals are for the process itself, so `go run` will not do.
var program = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "stack-program-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "stack")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := program(); err == nil {
		if err := os.RemoveAll(filepath.Dir(path)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// stack prepares a call of the command, and a folder for its stacks that every account can reach.
func stack(t *testing.T, arguments ...string) (command *exec.Cmd, place string) {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	if place, err = os.MkdirTemp("", "stack-test-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(place); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(place, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	if len(arguments) > 0 && arguments[0] == "run" {
		arguments = slices.Insert(arguments, 1, "--place", place)
	}
	command = exec.Command(path, arguments...)
	command.Stderr = os.Stderr
	return command, place
}

// nothingLeft wants neither a folder nor a process of the stacks in place.
func nothingLeft(t *testing.T, place string) {
	t.Helper()
	if left, err := os.ReadDir(place); err != nil || len(left) != 0 {
		t.Errorf("left in %s: %v, %v", place, left, err)
	}
	for pid, environment := range environments(t) {
		if strings.Contains(environment, host.DirectoryMark+"="+place) {
			t.Errorf("process %s of the stack is left", pid)
		}
	}
}

// environments is what all processes that we may look at were started with, by pid.
func environments(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, path := range paths {
		if content, err := os.ReadFile(path); err == nil {
			all[filepath.Base(filepath.Dir(path))] = string(content)
		}
	}
	return all
}

// TestRun has two at a time: what one does must not matter to the other. From the first moment on no process of theirs
// listens on anything but loopback, not even rabbitmqctl, which is an Erlang node while it runs.
func TestRun(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"one", "two"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script := `set -e
				# The address holds a password, which everybody could read among the arguments.
				printf 'url = "%s/api/overview"\n' "$AUTOPKGTEST_TEST_MANAGEMENT" | curl -sf -o "$1/overview" -K -
				grep -q "^auth_url" "$AUTOPKGTEST_TEST_SWIFT"
				case $AUTOPKGTEST_TEST_AMQP in amqp://*@127.77.*/) ;; *) exit 1;; esac
				"$2" status "$AUTOPKGTEST_TEST_DIRECTORY"
				rm "$1/overview"
				exit 7`
			command, place := stack(t, "run", "--")
			command.Args = append(command.Args, "/bin/sh", "-c", script, "sh", place, command.Path)
			var out bytes.Buffer
			command.Stdout = &out
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- command.Wait() }()
			err := watchListeners(t, place, ended)
			if code := command.ProcessState.ExitCode(); code != 7 {
				t.Errorf("exit code %d (%v), want the command's", code, err)
			}
			for _, process := range []string{"rabbitmq", "rabbitmq-epmd", "swift-proxy", "swift-account", "swift-container",
				"swift-object", "swift-object-updater", "swift-container-updater", "swift-memcached"} {
				if got := stateOf(process, out.String()); got != "up" {
					t.Errorf("status says that %s is %q:\n%s", process, got, &out)
				}
			}
			nothingLeft(t, place)
		})
	}
}

// stateOf finds a process in a table of status.
func stateOf(process, table string) string {
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[1] == process {
			return fields[2]
		}
	}
	return ""
}

// watchListeners looks at all sockets of the stacks in place until ended says something.
func watchListeners(t *testing.T, place string, ended <-chan error) error {
	t.Helper()
	seen := map[string]string{} // address to process
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			// AMQP, management, distribution, epmd, memcached and four servers.
			if len(seen) < 9 {
				t.Errorf("saw only %v: this test does not see what it should", seen)
			}
			for address, process := range seen {
				if !isLoopback(address) {
					t.Errorf("listens on %s: %s", address, process)
				}
			}
			return err
		case <-tick.C:
			maps.Copy(seen, listeners(t, place))
		}
	}
}

// TestEnds is told to end, or killed, in the middle of something, and leaves nothing either way.
func TestEnds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		signal  syscall.Signal
		started bool // the command, or only the services
		code    int
	}{
		"interrupted while the command runs": {syscall.SIGINT, true, 128 + 15},
		"terminated while services start":    {syscall.SIGTERM, false, 1},
		"killed while the command runs":      {syscall.SIGKILL, true, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command, place := stack(t, "run", "--")
			ready := filepath.Join(place, "ready")
			if err := unix.Mkfifo(ready, 0o600); err != nil {
				t.Fatal(err)
			}
			command.Args = append(command.Args, "/bin/sh", "-c", `echo > "$1"; exec sleep 1000`, "sh", ready)
			command.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			if test.started {
				if _, err := os.ReadFile(ready); err != nil { // until the command writes to it
					t.Fatal(err)
				}
			} else {
				await(t, "a process of the stack", func() bool {
					return strings.Contains(fmt.Sprint(environments(t)), host.DirectoryMark+"="+place)
				})
			}
			if err := command.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			err := command.Wait()
			if code := command.ProcessState.ExitCode(); code != test.code {
				t.Errorf("exit code %d (%v), want %d", code, err, test.code)
			}
			if err := os.Remove(ready); err != nil {
				t.Fatal(err)
			}
			if test.signal == syscall.SIGKILL {
				await(t, "the guard's work", func() bool {
					left, err := os.ReadDir(place)
					return err == nil && len(left) == 0
				})
			}
			nothingLeft(t, place)
		})
	}
}

// await looks again and again: what is awaited is done by processes that are not our children.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s for %s", patience, what)
		case <-tick.C:
		}
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(t *testing.T, path string)
		flags   []string
		code    int
		says    string
		stays   bool
	}{
		"nothing there":    {func(*testing.T, string) {}, nil, 0, "there is no stack in", false},
		"a stack":          {newStack, nil, 0, "removed the stack local from", false},
		"by its name":      {newStack, []string{"--stack", "local"}, 0, "removed the stack local from", false},
		"by another name":  {newStack, []string{"--stack", "other"}, 1, "holds the stack local, not other", true},
		"somebody's files": {newFiles, nil, 1, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command, place := stack(t, append([]string{"sweep"}, test.flags...)...)
			path := filepath.Join(place, "stack")
			test.prepare(t, path)
			command.Args = append(command.Args, path)
			command.Stderr = nil
			out, err := command.CombinedOutput()
			if code := command.ProcessState.ExitCode(); code != test.code || !strings.Contains(string(out), test.says) {
				t.Errorf("exit code %d (%v), want %d and %q:\n%s", code, err, test.code, test.says, out)
			}
			if !bytes.Contains(out, []byte(path)) {
				t.Errorf("the folder is not named:\n%s", out)
			}
			if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) == test.stays {
				t.Errorf("the folder stays: want %v (%v)", test.stays, err)
			}
		})
	}
}

func newStack(t *testing.T, path string) {
	t.Helper()
	account, err := host.Choose("")
	if err == nil {
		_, err = host.Create(t.Context(), host.Options{Path: path, Stack: "local", Account: account})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func newFiles(t *testing.T, path string) {
	t.Helper()
	if err := errors.Join(os.Mkdir(path, 0o755), os.WriteFile(filepath.Join(path, "thesis"), []byte("years"), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// isLoopback reads an address as /proc/net/tcp has it: 32 bits at a time, each in the machine's byte order.
func isLoopback(address string) bool {
	text, _, _ := strings.Cut(address, ":")
	words, err := hex.DecodeString(text)
	if err != nil {
		return false
	}
	for word := range slices.Chunk(words, 4) {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	ip, ok := netip.AddrFromSlice(words)
	return ok && ip.Unmap().IsLoopback()
}

// listeners are the local addresses of the listening sockets of the stacks in place, and the processes that hold them.
func listeners(t *testing.T, place string) map[string]string {
	t.Helper()
	inodes := map[string]string{}
	for pid, environment := range environments(t) {
		if !strings.Contains(environment, host.DirectoryMark+"="+place) {
			continue
		}
		descriptors, err := filepath.Glob("/proc/" + pid + "/fd/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, descriptor := range descriptors {
			if target, err := os.Readlink(descriptor); err == nil {
				if inode, ok := strings.CutPrefix(target, "socket:["); ok {
					inodes[strings.TrimSuffix(inode, "]")] = "process " + pid + ", " + commandLine(pid)
				}
			}
		}
	}
	addresses := map[string]string{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		file, err := os.Open(table)
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			const listening = "0A"
			if fields := strings.Fields(lines.Text()); len(fields) > 9 && fields[3] == listening && inodes[fields[9]] != "" {
				addresses[fields[1]] = inodes[fields[9]]
			}
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return addresses
}

// commandLine is empty for a process that has ended.
func commandLine(pid string) string {
	content, err := os.ReadFile("/proc/" + pid + "/cmdline")
	if err != nil {
		return ""
	}
	return string(bytes.ReplaceAll(content, []byte{0}, []byte{' '}))
}
