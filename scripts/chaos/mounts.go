package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// mountsVariable tells the program that it has mounts of its own.
const mountsVariable = "AUTOPKGTEST_CHAOS_MOUNTS"

// ownMounts puts this program into a mount namespace of its own, by starting it anew in the same process: the disks of the
// workers are mounts, and so they go with us, however we end.
func ownMounts() error {
	if os.Geteuid() != 0 {
		return errors.New("only root can fill up a worker's disk and look at the processes of its runs: run this as root")
	}
	if os.Getenv(mountsVariable) != "" {
		return os.Unsetenv(mountsVariable)
	}
	runtime.LockOSThread() // a namespace is a thread's, until the program is started anew
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("detach our mounts from the machine's: %w", err)
	}
	err := syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), mountsVariable+"=own"))
	return fmt.Errorf("start anew in a mount namespace: %w", err)
}
