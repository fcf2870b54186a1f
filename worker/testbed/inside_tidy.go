package testbed

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"
)

// tidy makes a folder that tests have filled safe for the account to read: everything in it belongs to the account and
// is readable, nothing is set-user-ID (the account's!), and only folders, files and links remain. A named pipe, say,
// would keep its reader waiting for ever. Links are kept as they are: do not follow them. What lies deeper than anybody
// means to, where paths get too long for most programs, is removed.
//
// It runs as root of a user namespace in which all owners are known, when nothing else of the run is left.
func tidy(folder string) error { return tidyAs(folder, 0, 0) }

// deepest is the number of folders in one another that are kept.
const deepest = 64

func tidyAs(folder string, uid, gid int) error {
	root, err := unix.Open(folder, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("tidy the output of a run: open %s: %w", folder, err)
	}
	t := tidying{uid, gid}
	// The folder itself is first an entry like all others.
	if err := t.entry(root, ".", 0); err != nil {
		unix.Close(root)
		return fmt.Errorf("tidy the output of a run: %w", err)
	}
	if err := t.folder(root, folder, 0); err != nil {
		return fmt.Errorf("tidy the output of a run: %w", err)
	}
	return nil
}

// tidying goes from folder to folder by their handles: names in a tree that a stranger has made can be too long together.
type tidying struct{ uid, gid int }

// folder tidies what lies in a folder, of which it gets the handle, and closes it.
func (t tidying) folder(handle int, name string, depth int) error {
	dir := os.NewFile(uintptr(handle), name)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := t.entry(handle, name, depth); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	return nil
}

func (t tidying) entry(in int, name string, depth int) error {
	var stat unix.Stat_t
	if err := unix.Fstatat(in, name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	kind := stat.Mode & unix.S_IFMT
	switch kind {
	case unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK:
	default:
		return unix.Unlinkat(in, name, 0)
	}
	if kind == unix.S_IFDIR && depth == deepest {
		return removeAt(in, name)
	}
	if err := unix.Fchownat(in, name, t.uid, t.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil || kind == unix.S_IFLNK {
		return err
	}
	mode := stat.Mode&uint32(fs.ModePerm) | 0o600
	if kind == unix.S_IFDIR {
		mode |= 0o700
	}
	if err := unix.Fchmodat(in, name, mode, 0); err != nil || kind != unix.S_IFDIR || name == "." {
		return err
	}
	handle, err := unix.Openat(in, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return t.folder(handle, name, depth+1)
}

// removeAt removes a tree of any depth.
func removeAt(in int, name string) error {
	path, err := findCommand("rm", "coreutils")
	if err != nil {
		return err
	}
	command := exec.CommandContext(context.Background(), path, "-rf", "--one-file-system", "--", name)
	command.Dir = "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(in)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("rm: %w: %s", err, out)
	}
	return nil
}
