package testbed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// runMark is in the environment of the processes that keep a run: the first one of its namespaces and the one that is its way
// out. Its value is the run's Job.WorkDir.
const runMark = "AUTOPKGTEST_CLOUD_RUN"

// RemoveLeftovers ends whatever runs of a dead process have left running. The runs are those whose Job.WorkDir lies below a
// folder; the caller must be sure that none of them is alive, because it alone may use that folder. Nothing else is touched, but
// for the rules that gateways have on this machine: they go if no gateway is left, whoever has made them.
// The folders themselves, and what backends keep outside of them, are for Remove.
//
// A run ends by itself when its program dies, so there is something to do only if that was prevented: its first process was
// stopped, say, or the machine went down in the middle of a session.
func RemoveLeftovers(ctx context.Context, folder string, log *slog.Logger) error {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return fmt.Errorf("look for what dead runs have left: %w", err)
	}
	return errors.Join(endLeftovers(ctx, folder, log), removeGatewayLeftovers(ctx, log))
}

// endLimit bounds the wait for a killed process to be gone, with all others of its namespaces.
const endLimit = 10 * time.Second

func endLeftovers(ctx context.Context, folder string, log *slog.Logger) (failed error) {
	entries, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well-formed
	for _, entry := range entries {
		pid, err := strconv.Atoi(filepath.Base(entry))
		if err != nil || !leftover(pid, folder) {
			continue
		}
		// From here on the handle is the process, whoever gets its number next. So look again.
		handle, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		if leftover(pid, folder) {
			log.Warn("ending a process that a dead worker's run has left", "pid", pid, "run", markOf(pid))
			if err := errors.Join(unix.PidfdSendSignal(handle, unix.SIGKILL, nil, 0), awaitEnd(ctx, handle)); err != nil {
				failed = errors.Join(failed, fmt.Errorf("end process %d of a dead worker's run: %w", pid, err))
			}
		}
		unix.Close(handle)
	}
	return failed
}

// leftover tells a process that keeps a run below a folder, and is not a child of this very process.
func leftover(pid int, folder string) bool {
	mark := markOf(pid)
	if mark == "" || !strings.HasPrefix(mark, folder+"/") {
		return false
	}
	return parentOf(pid) != os.Getpid()
}

// markOf returns the folder of the run that a process keeps. The environment of other accounts' processes cannot be read,
// except by root.
func markOf(pid int) string {
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return ""
	}
	for entry := range strings.SplitSeq(string(environment), "\x00") {
		if folder, found := strings.CutPrefix(entry, runMark+"="); found {
			return folder
		}
	}
	return ""
}

func parentOf(pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if value, found := strings.CutPrefix(line, "PPid:"); found {
			parent, _ := strconv.Atoi(strings.TrimSpace(value)) // the kernel's
			return parent
		}
	}
	return 0
}

// awaitEnd waits for the end of a process that is not a child.
func awaitEnd(ctx context.Context, handle int) error {
	for until := time.Now().Add(endLimit); time.Now().Before(until); {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}, 100)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if ready > 0 {
			return nil
		}
	}
	return fmt.Errorf("killed %s ago, and still there", endLimit)
}
