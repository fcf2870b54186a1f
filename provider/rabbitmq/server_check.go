package rabbitmq

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// checkPrograms looks for what Debian's package installs.
func checkPrograms() error {
	for _, program := range []string{serverProgram, controlProgram, epmdProgram} {
		if _, err := os.Stat(program); err != nil {
			return &host.Problem{
				Kind: host.ErrMissing, Thing: "the program " + program, Cause: "is not installed", Err: err,
				WayOut: "Run scripts/setup, or install rabbitmq-server",
			}
		}
	}
	return nil
}

func checkRoom(d *host.Directory, s Settings) error {
	free, err := room(d.Path())
	if err != nil {
		return err
	}
	return enoughRoom(d.ServicePath(Service), free, s.Reserve)
}

// enoughRoom wants twice the reserve: below the reserve the node takes no message, and its publishers just hang.
func enoughRoom(folder string, free, reserve uint64) error {
	if free >= 2*reserve {
		return nil
	}
	return &host.Problem{
		Kind:   host.ErrNoSpace,
		Thing:  "the file system of " + folder,
		Cause:  fmt.Sprintf("has %d MiB left; with less than %d MiB the broker takes no messages", free>>20, reserve>>20),
		WayOut: fmt.Sprintf("Make room until %d MiB are free, or choose a folder on another disk", 2*reserve>>20),
	}
}

// roomFor is the same for a folder that may have to be made.
func roomFor(folder string) (uint64, error) {
	free, err := room(folder)
	if errors.Is(err, fs.ErrNotExist) && folder != "/" {
		return roomFor(filepath.Dir(folder))
	}
	return free, err
}

// memory is what this machine has.
func memory() (uint64, error) {
	var s unix.Sysinfo_t
	if err := unix.Sysinfo(&s); err != nil {
		return 0, fmt.Errorf("ask for the machine's memory: %w", err)
	}
	return s.Totalram * uint64(s.Unit), nil
}

// room is what the file system has left for users.
func room(folder string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return 0, fmt.Errorf("ask for the room left in %s: %w", folder, err)
	}
	return s.Bavail * uint64(s.Bsize), nil
}
