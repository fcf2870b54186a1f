package main

import (
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// clockVariable names the file with a worker's shift of its clock.
const clockVariable = "AUTOPKGTEST_CHAOS_CLOCK"

//go:embed clock_shift.go.txt
var clockShift []byte

// The place in the standard library where every wall clock comes from, and what is put there.
const (
	clockSource = "\tsec, nsec, mono := runtimeNow()\n\tif mono == 0 {"
	clockShifts = "\tsec, nsec, mono := runtimeNow()\n\tsec += chaosShift()\n\tif mono == 0 {"
)

// clockOverlay makes a -overlay file for the compiler, with which time.Now can be shifted from outside. A clock that steps
// cannot be had otherwise: the kernel's clock is the whole machine's, its time namespaces shift other clocks than the
// wall's, and a preloaded library does not reach a static program. The worker's own code is not touched: everything in the
// program, the logger and the HTTP client included, sees the step, and the monotonic clock does not, as it is with a step.
func clockOverlay(goroot, folder string) (path string, err error) {
	original := filepath.Join(goroot, "src", "time", "time.go")
	source, err := os.ReadFile(original)
	if err != nil {
		return "", fmt.Errorf("read Go's clock: %w", err)
	}
	if strings.Count(string(source), clockSource) != 1 {
		return "", fmt.Errorf("%s is not as expected: this version of Go takes the time in another way; adapt clockSource", original)
	}
	patched, shift := filepath.Join(folder, "time.go"), filepath.Join(folder, "chaos_shift.go")
	if err := os.WriteFile(patched, []byte(strings.Replace(string(source), clockSource, clockShifts, 1)), 0o600); err != nil {
		return "", err
	}
	if err := os.WriteFile(shift, clockShift, 0o600); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		original: patched, filepath.Join(filepath.Dir(original), filepath.Base(shift)): shift,
	}})
	if err != nil {
		return "", err
	}
	path = filepath.Join(folder, "overlay.json")
	return path, os.WriteFile(path, overlay, 0o600)
}

// clock is the file that shifts the clock of one worker.
type clock struct{ path string }

func newClock(path string) (clock, error) {
	return clock{path}, os.WriteFile(path, make([]byte, 8), 0o644)
}

// step sets how far the worker's clock is from the true one. It sees it at once.
func (c clock) step(shift time.Duration) error {
	file, err := os.OpenFile(c.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	content := binary.NativeEndian.AppendUint64(nil, uint64(int64(shift/time.Second)))
	if _, err := file.WriteAt(content, 0); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}
