package swift

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// checkPrograms looks for what Debian's packages install.
func checkPrograms() error {
	for _, program := range []string{
		python, memcached, programs + "swift-proxy-server", programs + "swift-account-server",
		programs + "swift-container-server", programs + "swift-object-server", programs + "swift-container-updater",
		programs + "swift-object-updater",
	} {
		if _, err := os.Stat(program); err != nil {
			return &host.Problem{
				Kind: host.ErrMissing, Thing: "the program " + program, Cause: "is not installed", Err: err,
				WayOut: "Run scripts/setup, or install swift-proxy, swift-account, swift-container, swift-object and memcached",
			}
		}
	}
	return nil
}

// checkDisk looks for room and for extended attributes in the folder that will hold the data. It makes that folder.
func checkDisk(d *host.Directory, s Settings) error {
	data := serviceFile("data/" + device)
	if err := d.MkdirAll(data, 0o700); err != nil {
		return err
	}
	free, err := room(d.Path(data))
	if err != nil {
		return err
	}
	if err := enoughRoom(d.ServicePath(Service), free, s.reserve()); err != nil {
		return err
	}
	// Root works here in a folder that another account may change at any moment: no link leads it outside.
	root, err := os.OpenRoot(d.Path())
	if err != nil {
		return fmt.Errorf("try extended attributes in %s: %w", d.Path(data), err)
	}
	defer root.Close()
	return attributes(root, data, unix.Fsetxattr)
}

// room is what the file system has left for users.
func room(folder string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return 0, fmt.Errorf("ask for the room left in %s: %w", folder, err)
	}
	return s.Bavail * uint64(s.Bsize), nil
}

// enoughRoom wants twice the reserve: a store that begins to refuse uploads after its first results is no use.
func enoughRoom(folder string, free, reserve uint64) error {
	if free >= 2*reserve {
		return nil
	}
	return &host.Problem{
		Kind:   host.ErrNoSpace,
		Thing:  "the file system of " + folder,
		Cause:  fmt.Sprintf("has %d MiB left; with less than %d MiB the store refuses uploads", free>>20, reserve>>20),
		WayOut: fmt.Sprintf("Make room until %d MiB are free, or choose a folder on another disk", 2*reserve>>20),
	}
}

// attributes tries what Swift does with each object: its metadata are extended attributes of its file.
func attributes(root *os.Root, folder string, set func(fd int, name string, value []byte, flags int) error) (err error) {
	name := filepath.Join(folder, ".attributes-"+strings.ToLower(rand.Text()))
	path := filepath.Join(root.Name(), folder)
	probe, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("try extended attributes in %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, probe.Close(), root.Remove(name)) }()
	err = set(int(probe.Fd()), "user.swift.metadata", make([]byte, 1024), 0)
	if errors.Is(err, unix.ENOTSUP) {
		return &host.Problem{
			Kind: host.ErrInvalid, Thing: "the file system of " + path, Cause: "has no extended attributes, " +
				"where Swift keeps each object's metadata", Err: err,
			WayOut: "Choose a folder on ext4, xfs or btrfs",
		}
	}
	if err != nil {
		return fmt.Errorf("try extended attributes in %s: %w", path, err)
	}
	return nil
}
