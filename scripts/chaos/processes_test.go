package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
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
