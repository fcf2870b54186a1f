package container

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestNetwork(t *testing.T) {
	t.Parallel()
	check := exec.Command("sh", "-n")
	check.Stdin = strings.NewReader(Network)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestClean removes what is the container's, wherever it is, and nothing of another one.
func TestClean(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, folder := range []string{
		"memory/lxc.payload.autopkgtest-a/init.scope", "memory/lxc.payload.autopkgtest-a/system.slice/dbus.service",
		"memory/lxc.monitor.autopkgtest-a", "unified/session/lxc.payload.autopkgtest-a-1", "memory/lxc.payload.autopkgtest-b",
		"memory/lxc.payload.other", "memory/docker/autopkgtest-a",
	} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := clean(t.Context(), root, "autopkgtest-a"); err != nil {
			t.Fatal(err)
		}
	}
	if err := clean(t.Context(), root, ""); err != nil {
		t.Fatal(err)
	}
	var left []string
	if err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if name := filepath.Base(path); strings.HasPrefix(name, "lxc.") || name == "autopkgtest-a" {
			left = append(left, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"autopkgtest-a", "lxc.payload.autopkgtest-b", "lxc.payload.other"}; !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
}
