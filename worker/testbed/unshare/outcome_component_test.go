//go:build component

package unshare_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

// TestOutcomes runs packages with outcomes that the suite leaves out: they are autopkgtest's, not the backend's.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	for name, test := range map[string]struct {
		control string
		exit    int
		summary string
	}{
		"stderr":      {"Test-Command: echo oops >&2\nDepends:\n", 4, "FAIL stderr: oops"},
		"superficial": {"Test-Command: true\nRestrictions: superficial\nDepends:\n", 8, "PASS (superficial)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job := newJob(t, testbedtest.SourceTree(t, test.control, nil))
			outcome, err := runner.Run(t.Context(), job)
			if err != nil || outcome.ExitCode != test.exit || outcome.TimedOut {
				t.Fatalf("outcome %+v, error %v, want exit code %d\n%s", outcome, err, test.exit, readLog(t, job))
			}
			summary, err := os.ReadFile(filepath.Join(job.OutputDir, "summary"))
			if err != nil || !strings.Contains(string(summary), test.summary) {
				t.Errorf("summary %q, error %v, want %q", summary, err, test.summary)
			}
			if outcome.Duration <= 0 {
				t.Errorf("duration %s", outcome.Duration)
			}
			checkTestinfo(t, job)
			checkNothingLeft(t, job)
		})
	}
}

// checkTestinfo looks for the one entry by which the gatekeeper knows what a result is for.
func checkTestinfo(t *testing.T, job testbed.Job) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(job.OutputDir, "testinfo.json"))
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		VirtServer  string   `json:"virt_server"`
		Environment []string `json:"custom_environment"`
	}
	if err := json.Unmarshal(text, &info); err != nil {
		t.Fatal(err)
	}
	want := "ADT_TEST_TRIGGERS=" + strings.Join(job.Request.Triggers, " ")
	if !slices.Contains(info.Environment, want) {
		t.Errorf("testinfo.json has %q, want %q", info.Environment, want)
	}
	if strings.Contains(info.VirtServer, job.WorkDir) || !strings.Contains(info.VirtServer, "unshare --release") {
		t.Errorf("virtualization server %q", info.VirtServer)
	}
	if strings.Contains(readLog(t, job), job.WorkDir) {
		t.Error("the public log names a folder of this machine")
	}
}

func checkNothingLeft(t *testing.T, job testbed.Job) {
	t.Helper()
	entries, err := os.ReadDir(job.WorkDir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "out" {
		t.Errorf("in the work folder: %v, error %v, want only out", entries, err)
	}
}

// TestArchivePackage takes a package from the archive, as a request does.
func TestArchivePackage(t *testing.T) {
	t.Parallel()
	job := newJob(t, "")
	job.Request = request.Request{Package: "gzip", Triggers: []string{"gzip/1"}, Env: []string{"A=b c"}}
	outcome, err := newRunner(t).Run(t.Context(), job)
	if err != nil || outcome.ExitCode != 0 {
		t.Fatalf("outcome %+v, error %v\n%s", outcome, err, readLog(t, job))
	}
	version, err := os.ReadFile(filepath.Join(job.OutputDir, "testpkg-version"))
	if err != nil || !strings.HasPrefix(string(version), "gzip ") {
		t.Errorf("testpkg-version %q, error %v", version, err)
	}
	checkTestinfo(t, job)
	t.Logf("gzip took %s", outcome.Duration)
}

// TestTestbedFailures are not the package's fault, and must not look like it.
func TestTestbedFailures(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	source := testbedtest.SourceTree(t, "Test-Command: true\nDepends:\n", nil)
	broken := filepath.Join(t.TempDir(), "broken.tar.zst")
	if err := os.WriteFile(broken, []byte("not a tarball"), 0o600); err != nil {
		t.Fatal(err)
	}

	job := newJob(t, source)
	job.Image = broken
	if outcome, err := runner.Run(t.Context(), job); err != nil || outcome.ExitCode != 16 {
		t.Errorf("broken image: %+v, %v", outcome, err)
	}
	checkNothingLeft(t, job)

	job = newJob(t, source)
	job.Image = filepath.Join(t.TempDir(), "none.tar.zst")
	if _, err := runner.Run(t.Context(), job); !errors.Is(err, testbed.ErrNoImage) {
		t.Errorf("no image: error = %v", err)
	}
	if log := readLog(t, job); !strings.Contains(log, "testbed failure: no testbed image") {
		t.Errorf("no image: the log says %q", log)
	}

	job = newJob(t, source)
	if err := os.MkdirAll(filepath.Join(job.OutputDir, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := runner.Run(t.Context(), job); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("an output folder in use: error = %v", err)
	}

	// What this machine's autopkgtest cannot do is an outcome, so that the request gets its result.
	job = newJob(t, "")
	job.Request.PPAs = []string{"joe:S3KRIT@joe/foo"}
	if outcome, err := runner.Run(t.Context(), job); err != nil || outcome.ExitCode != 20 {
		t.Errorf("a private PPA: %+v, %v", outcome, err)
	}
	if log := readLog(t, job); !strings.Contains(log, "not supported here") || strings.Contains(log, "S3KRIT") {
		t.Errorf("a private PPA: the log says %q", log)
	}
}

// TestHostileOutput makes files that would harm or confuse whoever collects them.
func TestHostileOutput(t *testing.T) {
	t.Parallel()
	job := newJob(t, testbedtest.SourceTree(t, "Tests: hostile\nDepends:\nRestrictions: needs-root\n", map[string]string{"hostile": `#!/bin/sh
set -e
cd "$AUTOPKGTEST_ARTIFACTS"
echo secret >closed; chmod 000 closed
mkdir dark; echo x >dark/file; chmod 000 dark
cp /bin/sh root-shell; chmod 4755 root-shell
echo x >foreign; chown 1234:1234 foreign; chmod 600 foreign
ln -s /etc/passwd link
ln -s / rootlink
ln foreign hard
ln /etc/shadow shadow
perl -e 'for (1..200) { mkdir "deep"; chdir "deep" }; open F, ">", "bottom"'
printf 'x' >"$(printf 'odd\n\033name')"
`}))
	outcome, err := newRunner(t).Run(t.Context(), job)
	if err != nil {
		t.Fatalf("%+v, %v\n%s", outcome, err, readLog(t, job))
	}
	artifacts := filepath.Join(job.OutputDir, "artifacts")
	for _, name := range []string{"closed", "dark/file", "root-shell", "foreign"} {
		path := filepath.Join(artifacts, name)
		info, err := os.Lstat(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
			t.Errorf("%s: mode %v", name, info.Mode())
		}
		if _, err := os.ReadFile(path); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(artifacts, "deep/deep/deep")); err != nil {
		t.Error(err)
	}
	// What is kept can be walked by everybody.
	if err := filepath.WalkDir(artifacts, func(_ string, _ os.DirEntry, err error) error { return err }); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(job.OutputDir); err != nil {
		t.Errorf("the account cannot remove the output: %v", err)
	}
}

// TestHostileSize leaves a file without content that has a size beyond all disks.
func TestHostileSize(t *testing.T) {
	t.Parallel()
	job := newJob(t, testbedtest.SourceTree(t, "Test-Command: truncate -s 1T $AUTOPKGTEST_ARTIFACTS/huge\nDepends:\n", nil))
	job.Limits.Disk = 1 << 30
	outcome, err := newRunner(t).Run(t.Context(), job)
	if err != nil || outcome.Exceeded != "disk limit of 1 GiB" {
		t.Errorf("%+v, %v\n%s", outcome, err, readLog(t, job))
	}
	if err := os.RemoveAll(job.OutputDir); err != nil {
		t.Errorf("the account cannot remove the output: %v", err)
	}
}

// TestHostilePipe leaves something that is no file, which autopkgtest cannot copy.
func TestHostilePipe(t *testing.T) {
	t.Parallel()
	job := newJob(t, testbedtest.SourceTree(t, "Test-Command: mkfifo $AUTOPKGTEST_ARTIFACTS/pipe\nDepends:\n", nil))
	outcome, err := newRunner(t).Run(t.Context(), job)
	if err != nil {
		t.Fatalf("%+v, %v\n%s", outcome, err, readLog(t, job))
	}
	err = filepath.WalkDir(job.OutputDir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type()&^(os.ModeDir|os.ModeSymlink) != 0 {
			t.Errorf("%s is %v", path, entry.Type())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
