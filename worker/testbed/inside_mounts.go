package testbed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// prepareMounts makes the mounts of a run. They are in a mount namespace of their own and go with it.
func prepareMounts(config insideConfig) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("detach the run's mounts from this machine's: %w%s", err, namespaceHint(err))
	}
	if config.Tree != nil {
		return enterTree(*config.Tree)
	}
	for _, folder := range config.Hide {
		if err := hide(folder); err != nil {
			return err
		}
	}
	if err := mountProc("/proc"); err != nil || !config.Privileged || config.Network == nil {
		return err
	}
	// The one that is there shows the interfaces of this machine's network.
	return mountSys("/sys", true)
}

// hide lays an empty folder over one of this machine. One that is not there needs none.
func hide(folder string) error {
	info, err := os.Stat(folder)
	if errors.Is(err, os.ErrNotExist) || err == nil && !info.IsDir() {
		return nil
	}
	if err != nil {
		return fmt.Errorf("hide %s from the run: %w", folder, err)
	}
	if err := unix.Mount("tmpfs", folder, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=64m"); err != nil {
		return fmt.Errorf("hide %s from the run: %w", folder, err)
	}
	return nil
}

// mountProc shows the processes of this namespace, and no others.
func mountProc(at string) error {
	if err := unix.Mount("proc", at, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc for the run: %w (in a container the outer /proc must not be masked)", err)
	}
	return nil
}

// enterTree builds a tree and makes it the root of this mount namespace. The machine's own files are then out of reach
// for everybody in it, root or not.
func enterTree(t tree) error {
	if err := unix.Mount("tmpfs", t.At, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=16m"); err != nil {
		return fmt.Errorf("mount the root of the run on %s: %w", t.At, err)
	}
	for _, build := range []func(tree) error{buildFiles, buildBinds, buildDevices, buildKernelFiles} {
		if err := build(t); err != nil {
			return err
		}
	}
	if err := readOnly(t.At, 0); err != nil {
		return err
	}
	if err := unix.Chdir(t.At); err != nil {
		return fmt.Errorf("enter %s: %w", t.At, err)
	}
	// Both at the same place: the old root lies on top of the new one until it is taken off.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("make %s the root of the run: %w", t.At, err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("take this machine's files off the run: %w", err)
	}
	return unix.Chdir("/")
}

func buildFiles(t tree) error {
	for _, dir := range t.Dirs {
		if err := os.MkdirAll(filepath.Join(t.At, dir), 0o755); err != nil {
			return err
		}
	}
	for name, content := range t.Files {
		path := filepath.Join(t.At, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), fileMode(content)); err != nil {
			return err
		}
	}
	for name, target := range t.Links {
		path := filepath.Join(t.At, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(target, path); err != nil {
			return err
		}
	}
	return nil
}

func buildBinds(t tree) error {
	for _, b := range t.Binds {
		if err := bindMount(b.From, filepath.Join(t.At, b.To), b.Write); err != nil {
			return err
		}
	}
	return nil
}

// buildDevices shows those devices that autopkgtest's own server shows to a testbed in turn. A test that writes to the
// console writes to nowhere.
func buildDevices(t tree) error {
	if t.Machine {
		return nil
	}
	for _, name := range t.Devices {
		if err := bindMount(filepath.Join("/dev", name), filepath.Join(t.At, "dev", name), true); err != nil {
			return err
		}
	}
	for name, from := range map[string]string{"null": "null", "zero": "zero", "full": "full", "random": "random",
		"urandom": "urandom", "tty": "tty", "console": "null"} {
		if err := bindMount(filepath.Join("/dev", from), filepath.Join(t.At, "dev", name), true); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0",
		"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(target, filepath.Join(t.At, "dev", name)); err != nil {
			return err
		}
	}
	shm := filepath.Join(t.At, "dev/shm")
	if err := os.Mkdir(shm, 0o777); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", shm, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777,size=64m"); err != nil {
		return fmt.Errorf("mount /dev/shm for the run: %w", err)
	}
	if !t.Privileged {
		return nil
	}
	return buildPrivilegedDevices(t)
}

// buildPrivilegedDevices adds terminals of the run's own, and those devices that are there on this machine.
func buildPrivilegedDevices(t tree) error {
	pts := filepath.Join(t.At, "dev/pts")
	if err := os.Mkdir(pts, 0o755); err != nil {
		return err
	}
	options := "newinstance,ptmxmode=0666,mode=0620,gid=5"
	if err := unix.Mount("devpts", pts, "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, options); err != nil {
		return fmt.Errorf("mount /dev/pts for the run: %w", err)
	}
	if err := os.Symlink("pts/ptmx", filepath.Join(t.At, "dev/ptmx")); err != nil {
		return err
	}
	for _, name := range []string{"net/tun", "fuse"} {
		if _, err := os.Stat(filepath.Join("/dev", name)); err != nil {
			continue
		}
		if err := bindMount(filepath.Join("/dev", name), filepath.Join(t.At, "dev", name), true); err != nil {
			return err
		}
	}
	return nil
}

// buildKernelFiles mounts /proc and /sys of the run's own namespaces. The cgroup folders below /sys are not there: where
// the account may write to its own, a test could stop everything that the account runs.
func buildKernelFiles(t tree) error {
	proc, sys := filepath.Join(t.At, "proc"), filepath.Join(t.At, "sys")
	if t.Machine {
		if err := os.Mkdir(proc, 0o755); err != nil {
			return err
		}
		return mountProc(proc)
	}
	if err := errors.Join(os.Mkdir(proc, 0o755), os.Mkdir(sys, 0o755)); err != nil {
		return err
	}
	if err := mountProc(proc); err != nil {
		return err
	}
	return mountSys(sys, t.Privileged)
}

// controlGroups is where the folders of control groups are on every distribution.
const controlGroups = "/sys/fs/cgroup"

// mountSys shows the run's own network interfaces below /sys, and with them the control groups if those are wanted.
func mountSys(at string, groups bool) error {
	old := -1
	if groups {
		var err error
		if old, err = unix.Open(controlGroups, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
			defer unix.Close(old)
		}
	}
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RDONLY)
	if err := unix.Mount("sysfs", at, "sysfs", flags, ""); err != nil {
		return fmt.Errorf("mount /sys for the run: %w", err)
	}
	if old < 0 {
		return nil
	}
	to := filepath.Join(at, "fs/cgroup")
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", old), to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("show the control groups to the run: %w", err)
	}
	return nil
}

// bindMount shows a file or folder at another place, which it makes if need be.
func bindMount(from, to string, write bool) error {
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("show a file to the run: %w", err)
	}
	if info.IsDir() {
		err = os.MkdirAll(to, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(to), 0o755); err == nil {
		var file *os.File
		if file, err = os.OpenFile(to, os.O_CREATE|os.O_RDONLY, 0o644); err == nil {
			err = file.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("make a place for %s in the run: %w", from, err)
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("show %s to the run: %w", from, err)
	}
	if write {
		return nil
	}
	return readOnly(to, unix.AT_RECURSIVE)
}

// readOnly forbids writing to a mount. Flags that it already has stay: in a user namespace they could not be removed.
func readOnly(path string, flags uint) error {
	attributes := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}
	if err := unix.MountSetattr(unix.AT_FDCWD, path, flags, &attributes); err != nil {
		return fmt.Errorf("make %s read-only for the run: %w", path, err)
	}
	return nil
}
