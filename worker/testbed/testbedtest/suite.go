package testbedtest

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Run runs the suite. The test that calls it must not be parallel: it looks for processes by a mark in the environment.
func Run(t *testing.T, s Subject) {
	s.state = t.TempDir()
	s.former = s.left()
	if !t.Run("outcomes", s.testOutcomes) {
		return // whatever it is, the rest would tell it again
	}
	t.Run("capabilities", s.testCapabilities)
	t.Run("ends", s.testEnds)
	if !s.Elsewhere && !s.OwnKernel { // what is in a machine is that machine's
		t.Run("limits", s.testLimits)
	}
	s.checkNothingLeft(t)
	if err := testbed.Remove(t.Context(), s.state); err != nil {
		t.Error(err)
	}
}

// leftBehind is where the passing package leaves a file for the next run to look for.
const leftBehind = "/var/tmp/left-by-a-test-of-tiny"

// needs is the restriction of a test that is to be root, if testbeds have root.
func (s Subject) needs() string {
	if s.can(testbed.RootOnTestbed) {
		return "needs-root"
	}
	return "allow-stderr" // changes nothing
}

// testOutcomes runs packages of every kind, two at a time where there are two processors.
func (s Subject) testOutcomes(t *testing.T) {
	install := "hello"
	if !s.can(testbed.RootOnTestbed) {
		install = "coreutils" // nobody can install anything; this is there
	}
	passing := `#!/bin/sh
set -e
[ -z "$HELLO" ] || hello
[ -z "$ROOT" ] || [ "$(id -u)" = 0 ]
echo precious >"$AUTOPKGTEST_ARTIFACTS/data.txt"
mkdir "$AUTOPKGTEST_ARTIFACTS/deep"
echo more >"$AUTOPKGTEST_ARTIFACTS/deep/er.txt"
touch ` + leftBehind + `
`
	var env []string
	if install == "hello" {
		env = append(env, "HELLO=1")
	}
	if s.can(testbed.RootOnTestbed) {
		env = append(env, "ROOT=1")
	}
	for name, test := range map[string]struct {
		control string
		files   map[string]string
		exit    int
		summary string
	}{
		"pass": {"Tests: good\nDepends: " + install + "\nRestrictions: " + s.needs() + "\n", map[string]string{"good": passing},
			0, "good                 PASS"},
		"fail": {"Test-Command: exit 3\nDepends:\nFeatures: test-name=bad\n", nil, 4, "bad                  FAIL non-zero exit status 3"},
		"skip": {"Test-Command: exit 77\nDepends:\nRestrictions: skippable\nFeatures: test-name=not-here\n", nil,
			8, "not-here             SKIP exit status 77"},
		"flaky": {"Test-Command: exit 5\nDepends:\nRestrictions: flaky\nFeatures: test-name=moody\n\n" +
			"Test-Command: true\nDepends:\nFeatures: test-name=good\n", nil, 2, "moody                FLAKY non-zero exit status 5"},
		"badpkg":  {"Test-Command: true\nDepends: no-such-package-anywhere\n", nil, 12, "badpkg: "},
		"no test": {"", nil, 8, "SKIP no tests in this package"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job := s.job(t, SourceTree(t, test.control, test.files))
			job.Request.Env = env
			outcome, err := s.ready(t).Run(t.Context(), job)
			if err != nil || outcome.ExitCode != test.exit || outcome.TimedOut {
				t.Fatalf("outcome %+v, error %v, want exit code %d\n%s", outcome, err, test.exit, readLog(t, job))
			}
			if outcome.Duration <= 0 {
				t.Errorf("duration %s", outcome.Duration)
			}
			summary, err := os.ReadFile(filepath.Join(job.OutputDir, "summary"))
			if err != nil || !strings.Contains(string(summary), test.summary) {
				t.Errorf("summary %q, error %v, want %q", summary, err, test.summary)
			}
			if name == "pass" {
				checkArtifacts(t, job)
			}
			if strings.Contains(readLog(t, job), job.WorkDir) {
				t.Error("the public log names a folder of this machine")
			}
			checkOnlyOutput(t, job)
		})
	}
}

func checkArtifacts(t *testing.T, job testbed.Job) {
	t.Helper()
	for name, want := range map[string]string{"data.txt": "precious\n", "deep/er.txt": "more\n"} {
		got, err := os.ReadFile(filepath.Join(job.OutputDir, "artifacts", name))
		if err != nil || string(got) != want {
			t.Errorf("artifact %s: %q, %v", name, got, err)
		}
	}
	version, err := os.ReadFile(filepath.Join(job.OutputDir, "testpkg-version"))
	if err != nil || string(version) != "tiny 1.0\n" {
		t.Errorf("testpkg-version: %q, %v", version, err)
	}
}

// testCapabilities runs one test for each capability. It also finds what the passing package has left, if it can.
func (s Subject) testCapabilities(t *testing.T) {
	var control strings.Builder
	wants, files := map[string]string{}, map[string]string{}
	for name, test := range map[string]struct {
		restrictions, script string
		has                  bool
	}{
		"root":      {"needs-root", "#!/bin/sh\ntest \"$(id -u)\" = 0\n", s.can(testbed.RootOnTestbed)},
		"container": {"isolation-container", "#!/bin/sh\n", s.can(testbed.IsolationContainer) || s.can(testbed.IsolationMachine)},
		"machine":   {"isolation-machine", "#!/bin/sh\n", s.can(testbed.IsolationMachine)},
		"reboot":    {"needs-reboot, needs-root", rebooting, s.can(testbed.Reboot) && s.can(testbed.RootOnTestbed)},
		"revert": {
			"allow-stderr",
			"#!/bin/sh\nif [ \"$NO_REVERT\" ]; then rm -f " + leftBehind + "; else ! test -e " + leftBehind + "; fi\n", true,
		},
	} {
		control.WriteString("Tests: " + name + "\nDepends:\nRestrictions: " + test.restrictions + "\n\n")
		files[name] = test.script
		wants[name] = "SKIP"
		if test.has {
			wants[name] = "PASS"
		}
	}
	job := s.job(t, SourceTree(t, control.String(), files))
	if !s.can(testbed.Revert) {
		job.Request.Env = []string{"NO_REVERT=1"}
	}
	outcome, err := s.ready(t).Run(t.Context(), job)
	if err != nil || (outcome.ExitCode != 0 && outcome.ExitCode != 2) {
		t.Fatalf("outcome %+v, error %v\n%s", outcome, err, readLog(t, job))
	}
	summary, err := os.ReadFile(filepath.Join(job.OutputDir, "summary"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(summary)) {
		if fields := strings.Fields(line); len(fields) >= 2 && wants[fields[0]] == fields[1] {
			delete(wants, fields[0])
		}
	}
	for name, want := range wants {
		t.Errorf("the test %s did not end as %s:\n%s", name, want, summary)
	}
	checkOnlyOutput(t, job)
}

// rebooting boots its testbed, and tells whether it really was: what is below /run does not outlive that.
const rebooting = `#!/bin/sh
set -e
if [ -z "$AUTOPKGTEST_REBOOT_MARK" ]; then
    touch /run/not-booted-yet
    /tmp/autopkgtest-reboot once
    exit 1
fi
test "$AUTOPKGTEST_REBOOT_MARK" = once
test ! -e /run/not-booted-yet
`

// job is a run of a source tree.
func (s Subject) job(t *testing.T, source string) testbed.Job {
	t.Helper()
	work := t.TempDir()
	return testbed.Job{
		Request: request.Request{Package: "tiny", Triggers: []string{"tiny/1.0", "other/2"}}, Queue: s.Queue, Source: source,
		Image: s.Image, WorkDir: work, OutputDir: filepath.Join(work, "out"), Timeout: s.stretched(20 * time.Minute),
		BackendArguments: s.Arguments, Limits: usual,
	}
}

func readLog(t *testing.T, job testbed.Job) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(job.OutputDir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// checkOnlyOutput fails if a run has left more in its folder than its output, or a mount there.
func checkOnlyOutput(t *testing.T, job testbed.Job) {
	t.Helper()
	entries, err := os.ReadDir(job.WorkDir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "out" {
		t.Errorf("in the work folder: %v, error %v, want only out", entries, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || bytes.Contains(mounts, []byte(job.WorkDir)) {
		t.Errorf("something is still mounted below %s, error %v", job.WorkDir, err)
	}
}

func (s Subject) checkNothingLeft(t *testing.T) {
	t.Helper()
	for _, what := range s.left() {
		if !slices.Contains(s.former, what) {
			t.Errorf("left: %s", what)
		}
	}
}

func (s Subject) left() []string {
	if s.Left == nil {
		return nil
	}
	return s.Left()
}
