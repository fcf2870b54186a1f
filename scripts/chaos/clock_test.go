package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The patch is for one place in the standard library: a Go that has it elsewhere must be told, not run without.
func TestClockOverlay(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clockOverlay(strings.TrimSpace(string(goroot)), folder); err != nil {
		t.Errorf("%s: %v", runtime.Version(), err)
	}
	other := t.TempDir()
	if err := os.MkdirAll(filepath.Join(other, "src", "time"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "src", "time", "time.go"), []byte("package time\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := clockOverlay(other, folder); err == nil || !strings.Contains(err.Error(), "clockSource") {
		t.Errorf("another Go's time: %v, want an error that says what to adapt", err)
	}
}
