package testbedtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// clinging is a test that leaves processes in other sessions, is deaf to signals and does not end by itself. Its processes
// have a word in their command lines, because autopkgtest gives tests a new environment.
const clinging = `#!/bin/sh
trap '' TERM HUP INT
setsid sleep 100000.$WORD </dev/null >/dev/null 2>&1 &
(sleep 100001.$WORD & wait) &
dd if=/dev/zero of=/var/tmp/mine.$WORD bs=1M count=1 2>/dev/null
echo "it runs: $WORD"
while :; do sleep 100002.$WORD; done
`

// clingingJob is a run whose test never ends. Its word is in the command lines of the test's processes.
func (s Subject) clingingJob(t *testing.T) (testbed.Job, string) {
	t.Helper()
	word := strconv.FormatInt(time.Now().UnixNano(), 10)
	job := s.job(t, SourceTree(t, "Tests: clinging\nDepends:\nRestrictions: "+s.needs()+"\n", map[string]string{"clinging": clinging}))
	job.Request.Env = []string{"WORD=" + word}
	job.Grace = 5 * time.Second
	return job, word
}

// slack is what ending a run may take beyond its grace on a machine that is busy with other tests.
const slack = 30 * time.Second

// testEnds has two runs side by side: one is cancelled, then the program that owns the other is killed.
func (s Subject) testEnds(t *testing.T) {
	mark := "mark-" + strconv.FormatInt(time.Now().UnixNano(), 10)
	t.Setenv("AUTOPKGTEST_CLOUD_PROCESS", mark)
	orphan, orphanWord := s.clingingJob(t)
	owner := s.startVictim(t, orphan)
	if s.stretched(1) > 1 {
		// Two machines that are emulated cannot be booted side by side.
		await(t, s.stretched(patience), "the orphan-to-be to run", func() bool { return logged(orphan, "it runs: "+orphanWord) })
	}
	job, word := s.clingingJob(t)
	reason := errors.New("the operator cancelled it")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	done := make(chan error, 1)
	runner := s.runner(t)
	go func() {
		_, err := runner.Run(ctx, job)
		done <- err
	}()
	await(t, s.stretched(patience), "both runs to run", func() bool {
		select {
		case err := <-done:
			t.Fatalf("the run has ended: %v\n%s", err, readLog(t, job))
		default:
		}
		return logged(job, "it runs: "+word) && logged(orphan, "it runs: "+orphanWord)
	})
	of, ofOrphan := s.processesOf(t, job, word), s.processesOf(t, orphan, orphanWord)
	for _, found := range [][]string{of(), ofOrphan()} {
		if len(found) < 3 {
			t.Fatalf("only these processes of a run are to be found: %q", found)
		}
	}

	cancel(reason)
	started := time.Now()
	err := <-done
	took := time.Since(started)
	if !errors.Is(err, reason) || took > job.Grace+s.stretched(slack) {
		t.Errorf("cancelled: error %v after %s", err, took)
	}
	for _, line := range of() {
		t.Errorf("left by the cancelled run: %s", line)
	}
	if log := readLog(t, job); !strings.Contains(log, reason.Error()) {
		t.Errorf("the log does not say why it ends:\n%s", log)
	}
	checkOnlyOutput(t, job)
	if len(ofOrphan()) < 3 {
		t.Errorf("the other run has lost processes")
	}

	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // killed
	if err := testbed.Remove(t.Context(), orphan.WorkDir); err != nil {
		t.Fatal(err)
	}
	Await(t, "everything of the orphan to end", func() bool { return len(ofOrphan()) == 0 && len(marked(mark)) == 0 })
	if _, err := os.Stat(orphan.WorkDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the orphan's folder is still there: %v", err)
	}
	if err := testbed.Remove(t.Context(), orphan.WorkDir); err != nil {
		t.Errorf("removed twice: %v", err)
	}
	s.checkNothingLeft(t)
	t.Logf("the cancelled run ended after %s", took)
}

// victimVariable makes a test's program the owner of a run that gets killed.
const victimVariable = "AUTOPKGTEST_TESTBEDTEST_VICTIM"

type victimOrders struct {
	Backend string
	Exposed bool
	State   string
	WayOut  string
	Job     testbed.Job
}

func (s Subject) startVictim(t *testing.T, job testbed.Job) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(victimOrders{s.Backend, s.Exposed, s.state, s.WayOut, job})
	if err != nil {
		t.Fatal(err)
	}
	owner := exec.Command("/proc/self/exe")
	owner.Env = append(os.Environ(), victimVariable+"="+string(text))
	owner.Stdout, owner.Stderr = t.Output(), t.Output()
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = owner.Process.Kill() }) // of a test that failed earlier
	return owner
}

// victim does not return in a program that startVictim has started.
func victim() {
	text := os.Getenv(victimVariable)
	if text == "" {
		return
	}
	os.Unsetenv(victimVariable)
	var orders victimOrders
	err := json.Unmarshal([]byte(text), &orders)
	if err == nil {
		s := Subject{Backend: orders.Backend, Exposed: orders.Exposed, WayOut: orders.WayOut, state: orders.State}
		var runner *testbed.Runner
		if runner, err = testbed.NewRunner(context.Background(), s.Backend, slog.Default(), s.options()...); err == nil {
			_, err = runner.Run(context.Background(), orders.Job)
		}
	}
	fmt.Fprintln(os.Stderr, "the run that was to be killed has ended:", err)
	os.Exit(1)
}

// logged says whether the log of a run holds a text by now.
func logged(job testbed.Job, text string) bool {
	log, err := os.ReadFile(filepath.Join(job.OutputDir, "log"))
	return err == nil && bytes.Contains(log, []byte(text))
}

// processesOf returns how to list the processes of a run: those that have the word of its test in their command lines, or all
// that are in its namespace, if the test's own cannot be seen.
func (s Subject) processesOf(t *testing.T, job testbed.Job, word string) func() []string {
	t.Helper()
	if !s.OwnKernel {
		return func() []string { return processes(word) }
	}
	own, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	namespaces := map[string]bool{}
	eachProcess(func(folder string) {
		environment, _ := os.ReadFile(filepath.Join(folder, "environ"))
		if namespace, err := os.Readlink(filepath.Join(folder, "ns/pid")); err == nil && namespace != own &&
			bytes.Contains(environment, []byte("="+job.WorkDir+"\x00")) {
			namespaces[namespace] = true
		}
	})
	return func() []string {
		var found []string
		eachProcess(func(folder string) {
			if namespace, err := os.Readlink(filepath.Join(folder, "ns/pid")); err == nil && namespaces[namespace] {
				found = append(found, commandLine(folder))
			}
		})
		return found
	}
}

// processes returns the command lines of all processes that have a word in theirs.
func processes(word string) []string { return search(word, "cmdline") }

// marked returns the command lines of all processes that have a word in their environment.
func marked(word string) []string { return search(word, "environ") }

func search(word, file string) []string {
	var found []string
	eachProcess(func(folder string) {
		content, _ := os.ReadFile(filepath.Join(folder, file))
		if bytes.Contains(content, []byte(word)) {
			found = append(found, commandLine(folder))
		}
	})
	return found
}

func eachProcess(do func(folder string)) {
	folders, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well-formed
	for _, folder := range folders {
		do(folder)
	}
}

func commandLine(folder string) string {
	line, _ := os.ReadFile(filepath.Join(folder, "cmdline"))
	return string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
}
