package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/chaos/check"
)

func TestRemains(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	for _, name := range []string{"lock", "worker", "testbeds/canary-stone-amd64.lock"} {
		path := filepath.Join(state, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(state, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	if left, err := remains(state); err != nil || len(left) > 0 {
		t.Errorf("what a worker keeps is taken for what it has left: %v, %v", left, err)
	}
	for _, name := range []string{"run/20261125-120000-aaaaaaaa", "spool/20261125-120000-bbbbbbbb"} {
		if err := os.MkdirAll(filepath.Join(state, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(state, "testbeds", "full.lock"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	left, err := remains(state)
	want := []string{"run/20261125-120000-aaaaaaaa", "spool/20261125-120000-bbbbbbbb", "testbeds/full.lock"}
	if diff := cmp.Diff(want, left); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestTestsWithin(t *testing.T) {
	t.Parallel()
	sleeper := exec.Command("sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() }()
	stub := []string{"/c/runner/autopkgtest", "--output-dir", "/out", "--env=ADT_TEST_TRIGGERS=" + check.Trigger("k00007")}
	all := []running{{pid: sleeper.Process.Pid, command: stub}, {pid: os.Getppid(), command: stub}, {pid: os.Getpid(), command: []string{"worker"}}}
	for name, test := range map[string]struct {
		victim int
		want   []string
	}{
		"the test itself":            {sleeper.Process.Pid, []string{"k00007"}},
		"what has started it":        {os.Getpid(), []string{"k00007"}},
		"a process without children": {1 << 30, nil},
	} {
		if diff := cmp.Diff(test.want, testsWithin(all, running{pid: test.victim})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
