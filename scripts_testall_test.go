package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/programtest"
)

// suitesScript stands for make. The two suites that run side by side wait for each other, and then, if there is a pipe "hold", for
// an end of it. Each leaves a process that only a signal ends.
const suitesScript = `#!/bin/bash
for suite; do :; done
cd "$SUITES" || exit
trap 'echo >"$suite.cleaned"; exit 1' TERM
sleep 1000 >/dev/null 2>&1 &
echo $! >>processes
echo "$suite begins"
case $suite in
test-acceptance) echo >to-testbeds; read -r <to-acceptance ;;
test-testbeds) read -r <to-testbeds; echo >to-acceptance; sleep 0.1 ;;
test-e2e) [ -e test-testbeds.ended ] || echo 'e2e is not alone' ;;
esac
if [ -p hold ] && [ "$suite" = test-acceptance ]; then echo >hold; wait; fi
echo >"$suite.ended"
echo "$suite ends"
[ ! -e "$suite.fails" ]
`

type suites struct {
	folder  string
	command *exec.Cmd
}

// newSuites has scripts/test-all run such suites.
func newSuites(t *testing.T, pipes ...string) suites {
	t.Helper()
	s := suites{t.TempDir(), bounded(t, "scripts/test-all")}
	s.command.Env = append(os.Environ(), "PATH="+s.folder+":"+os.Getenv("PATH"), "SUITES="+s.folder, "AUTOPKGTEST_TEST_LOGS="+s.folder)
	programtest.Write(t, filepath.Join(s.folder, "make"), suitesScript)
	for _, pipe := range append(pipes, "to-testbeds", "to-acceptance") {
		if err := unix.Mkfifo(filepath.Join(s.folder, pipe), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// nothingIsLeft wants that all processes of some suites have ended.
func (s suites) nothingIsLeft(t *testing.T, suites int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.folder, "processes"))
	if err != nil {
		t.Fatal(err)
	}
	pids := strings.Fields(string(text))
	if len(pids) != suites {
		t.Errorf("%d suites have run, want %d", len(pids), suites)
	}
	haveEnded(t, pids...)
}

// bounded is a command that is told to end after a minute.
func bounded(t *testing.T, name string, arguments ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	command := exec.CommandContext(ctx, name, arguments...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 10 * time.Second
	return command
}

// haveEnded wants that no process has one of these ids.
func haveEnded(t *testing.T, pids ...string) {
	t.Helper()
	for _, field := range pids {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d is left behind: %v", pid, err)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// interrupt starts a command, gives it a signal as soon as somebody has opened a pipe, and wants an exit code.
func interrupt(t *testing.T, command *exec.Cmd, pipe string, signal syscall.Signal, code int) {
	t.Helper()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	opened := make(chan error, 1)
	go func() {
		_, err := os.ReadFile(pipe)
		opened <- err
	}()
	select {
	case err := <-opened:
		if err != nil {
			t.Fatal(err)
		}
	case err := <-ended:
		t.Fatalf("it ends by itself: %v", err)
	}
	if err := command.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	if <-ended; command.ProcessState.ExitCode() != code {
		t.Errorf("%s ends with %s, want code %d", command.Path, command.ProcessState, code)
	}
}

// interruptions are signals, each with the exit code that it makes.
var interruptions = map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143, syscall.SIGHUP: 143}

// TestTestAll: every suite runs to its end, whichever fails; a failed one fails the whole. What the one beside another says comes in
// one piece.
func TestTestAll(t *testing.T) {
	t.Parallel()
	const good = "test-unit begins|test-unit ends|test-parts begins|test-parts ends|test-acceptance begins|test-acceptance ends|" +
		"test-testbeds begins|test-testbeds ends|test-e2e begins|test-e2e ends"
	for _, failing := range []string{"", "unit", "parts", "acceptance", "testbeds", "e2e"} {
		t.Run(failing, func(t *testing.T) {
			t.Parallel()
			s := newSuites(t)
			want := strings.Split(good, "|")
			if failing != "" {
				want = append(want, "== FAILED: "+failing)
				if err := os.WriteFile(filepath.Join(s.folder, "test-"+failing+".fails"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := s.command.CombinedOutput()
			if exit := new(exec.ExitError); (failing == "") != (err == nil) || err != nil && !errors.As(err, &exit) {
				t.Errorf("error = %v", err)
			}
			said := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(out)), "\n"), func(line string) bool {
				return strings.HasPrefix(line, "== testbeds run beside")
			})
			if !slices.Equal(said, want) {
				t.Errorf("it says:\n%s\nwant:\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
			}
			s.nothingIsLeft(t, 5)
		})
	}
}

// TestTestAllEnds: a signal ends the suites that run, which clean up, and nothing more is started.
func TestTestAllEnds(t *testing.T) {
	t.Parallel()
	for signal, code := range interruptions {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			s := newSuites(t, "hold")
			interrupt(t, s.command, filepath.Join(s.folder, "hold"), signal, code)
			if _, err := os.Stat(filepath.Join(s.folder, "test-acceptance.cleaned")); err != nil {
				t.Errorf("a suite could not clean up: %v", err)
			}
			s.nothingIsLeft(t, 4)
		})
	}
}
