package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ReplaceCredentials puts a new content into a credentials file, in one step: whoever reads it gets all of the old one or all of
// the new one. Owner, group and mode stay.
func ReplaceCredentials(path string, content []byte) (err error) {
	owner, err := replaceable(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".autopkgtest-*") // mode 0600
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
			err = fmt.Errorf("replace %s: %w", path, err)
		}
	}()
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	if err == nil && (int(owner.Uid) != os.Geteuid() || int(owner.Gid) != os.Getegid()) {
		err = f.Chown(int(owner.Uid), int(owner.Gid))
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// CheckReplaceable says why ReplaceCredentials would fail, as far as that can be known before.
func CheckReplaceable(path string) error {
	if _, err := replaceable(path); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".autopkgtest-*")
	if err != nil {
		return fmt.Errorf("replace %s: its folder cannot be written: %w", path, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func replaceable(path string) (*syscall.Stat_t, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("replace credentials: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("replace %s: it is not a regular file; name the file itself", path)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) != os.Geteuid() && os.Geteuid() != 0 {
		return nil, fmt.Errorf("replace %s: it belongs to another account, and only root can write such a file: %w", path, fs.ErrPermission)
	}
	return owner, nil
}
