//go:build component

package unshare_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

// clinging is a test that leaves processes in other sessions and does not end by itself. Its processes have a word in
// their command lines, because autopkgtest gives tests a new environment.
const clinging = `#!/bin/sh
setsid sleep 100000.$WORD </dev/null >/dev/null 2>&1 &
(trap '' TERM HUP INT; sleep 100001.$WORD & wait) &
dd if=/dev/zero of=/var/tmp/mine bs=1M count=1 2>/dev/null
echo "it runs: $WORD"
%TRAP%
while :; do sleep 100002.$WORD; done
`

// clingingJob starts a run whose test never ends. The word is in the environment of all processes of ours that belong to
// the run, and in the command lines of the test's.
func clingingJob(t *testing.T, trap string) (testbed.Job, string) {
	t.Helper()
	word := strconv.FormatInt(time.Now().UnixNano(), 10)
	t.Setenv("AUTOPKGTEST_CLOUD_PROCESS", "mark-"+word)
	script := strings.ReplaceAll(clinging, "%TRAP%", trap)
	job := newJob(t, testbedtest.SourceTree(t, "Tests: clinging\nDepends:\nRestrictions: needs-root\n", map[string]string{"clinging": script}))
	job.Request.Env = []string{"WORD=" + word}
	return job, word
}

// checkProcesses fails if any process of a run is left, this one aside.
func checkProcesses(t *testing.T, word string) {
	t.Helper()
	for _, line := range processes(word) {
		if !strings.HasPrefix(line, os.Args[0]) { // this process has the mark in its environment too
			t.Errorf("left: %s", line)
		}
	}
	// The mark of this very process was set after its start, so it is not in /proc: nothing at all may be found.
}

type ending struct {
	outcome testbed.Outcome
	err     error
}

// startRun runs a job in a goroutine.
func startRun(ctx context.Context, runner *testbed.Runner, job testbed.Job) <-chan ending {
	done := make(chan ending, 1)
	go func() {
		outcome, err := runner.Run(ctx, job)
		done <- ending{outcome, err}
	}()
	return done
}

func TestTimeout(t *testing.T) {
	job, word := clingingJob(t, "")
	job.Timeout = 20 * time.Second
	outcome, err := newRunner(t).Run(t.Context(), job)
	if err != nil || !outcome.TimedOut || outcome.ExitCode != 143 || outcome.Duration != job.Timeout {
		t.Errorf("outcome %+v, error %v", outcome, err)
	}
	checkProcesses(t, word)
	checkNothingLeft(t, job)
	if log := readLog(t, job); !strings.Contains(log, "after its limit of 20s") {
		t.Errorf("the log does not say why it ends:\n%s", log)
	}
}

// TestLostNetwork kills the way out of a run: its tests would fail, and blame the package.
func TestLostNetwork(t *testing.T) {
	job, word := clingingJob(t, "")
	done := startRun(t.Context(), newRunner(t), job)
	awaitLog(t, job, "it runs: "+word)
	killProcess(t, "slirp4netns", word)
	end := <-done
	if end.err == nil || !strings.Contains(end.err.Error(), "lost its network") {
		t.Errorf("outcome %+v, error %v", end.outcome, end.err)
	}
	checkProcesses(t, word)
	checkNothingLeft(t, job)
}

// TestLostNamespaces kills the first process of a run.
func TestLostNamespaces(t *testing.T) {
	job, word := clingingJob(t, "")
	done := startRun(t.Context(), newRunner(t), job)
	awaitLog(t, job, "it runs: "+word)
	killProcess(t, "autopkgtest-testbed", word)
	end := <-done
	if end.err == nil || !strings.Contains(end.err.Error(), "ended before its command") {
		t.Errorf("outcome %+v, error %v", end.outcome, end.err)
	}
	checkProcesses(t, word)
	checkNothingLeft(t, job)
}

// killProcess kills the process with a mark whose command line begins with a name.
func killProcess(t *testing.T, name, word string) {
	t.Helper()
	signalProcess(t, name, word, syscall.SIGKILL)
}

func signalProcess(t *testing.T, name, word string, number syscall.Signal) {
	t.Helper()
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, folder := range folders {
		line, _ := os.ReadFile(filepath.Join(folder, "cmdline"))
		environment, _ := os.ReadFile(filepath.Join(folder, "environ"))
		program, _, _ := strings.Cut(string(line), "\x00")
		if filepath.Base(program) != name || !strings.Contains(string(environment), word) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, number); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no %s of this run", name)
}

// victimJob is the variable that makes this program the process of TestLeftovers that gets killed.
const victimJob = "TESTBED_TEST_VICTIM"

// TestLeftovers stops the first process of a run before it kills the program that owns it: then nothing ends by itself.
func TestLeftovers(t *testing.T) {
	job, word := clingingJob(t, "")
	victim := exec.Command("/proc/self/exe", "-test.run", "^TestVictim$", "-test.v")
	victim.Env = append(os.Environ(), victimJob+"="+strings.Join([]string{job.WorkDir, job.Image, job.Source, word}, "\n"))
	victim.Stdout, victim.Stderr = t.Output(), t.Output()
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	awaitLog(t, job, "it runs: "+word)
	signalProcess(t, "autopkgtest-testbed", word, syscall.SIGSTOP)
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait() // killed
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	// Somebody else's folder, and one whose name begins in the same way, are not theirs.
	for _, other := range []string{t.TempDir(), job.WorkDir[:len(job.WorkDir)-1]} {
		if err := testbed.RemoveLeftovers(t.Context(), other, log); err != nil {
			t.Error(err)
		}
	}
	if len(processes(word)) < 4 {
		t.Fatalf("only these processes are to be found: %q", processes(word))
	}
	if err := testbed.RemoveLeftovers(t.Context(), filepath.Dir(job.WorkDir), log); err != nil {
		t.Error(err)
	}
	testbedtest.Await(t, "everything of the run to end", func() bool { return len(processes(word)) == 0 })
	if err := testbed.Remove(t.Context(), job.WorkDir); err != nil {
		t.Error(err)
	}
}

// TestVictim is a run of its own process. By itself it has nothing to do.
func TestVictim(t *testing.T) {
	fields := strings.Split(os.Getenv(victimJob), "\n")
	if len(fields) != 4 {
		return
	}
	runner, err := testbed.NewRunner(t.Context(), "unshare", slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	job := testbed.Job{WorkDir: fields[0], Image: fields[1], Source: fields[2], Queue: testbedtest.ThisMachine(t),
		OutputDir: filepath.Join(fields[0], "out")}
	job.Request.Package, job.Request.Env = "tiny", []string{"WORD=" + fields[3]}
	_, err = runner.Run(t.Context(), job)
	t.Fatalf("ended by itself: %v", err)
}

// TestCheck is what a worker does when it starts.
func TestCheck(t *testing.T) {
	t.Parallel()
	started := time.Now()
	if err := newRunner(t).Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("took %s", time.Since(started))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newRunner(t).Check(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
