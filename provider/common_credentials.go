package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// secretMode is the mode of every file with a password.
const secretMode fs.FileMode = 0o600

// stackAround finds the stack whose folder a path lies in; nil when it lies in none. The name is the path within it.
func (s *settings) stackAround(file string) (d *host.Directory, name string, err error) {
	for dir := filepath.Dir(file); ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(filepath.Join(dir, stackMark)); err == nil {
			if d, err = host.Open(dir, s.stack); err != nil {
				return nil, "", err
			}
			name, err = filepath.Rel(dir, file)
			return d, name, err
		}
		if dir == filepath.Dir(dir) {
			return nil, "", nil
		}
	}
}

// stackMark is the file that makes a folder a stack's.
const stackMark = "stack.json"

// writeSecretFile writes a 0600 file. In a stack's folder it belongs to the stack's account unless an owner is named,
// elsewhere to whoever runs Terraform. A stack whose services are all on other machines has a folder here for its credentials.
func (s *settings) writeSecretFile(ctx context.Context, path string, data []byte, owner string) error {
	d, name, err := s.stackAround(path)
	folder := s.directory.ValueString()
	if below, ok := strings.CutPrefix(path, folder+"/"); ok && err == nil && d == nil && folder != "" {
		name = below
		if d, err = s.create(ctx, folder, false); errors.Is(err, host.ErrForeign) {
			d, err = nil, nil // an operator's own folder
		}
	}
	if err != nil {
		return err
	}
	if d != nil {
		_, err := d.WriteFileFor(name, data, secretMode, owner)
		return err
	}
	return writeSecretOutside(path, data, owner)
}

// writeSecretOutside replaces the file in one step and follows no link to do so: its folder may belong to another account.
func writeSecretOutside(path string, data []byte, owner string) (err error) {
	uid, gid := os.Getuid(), os.Getgid()
	if owner != "" {
		if uid, gid, err = lookupOwner(owner); err != nil {
			return err
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".autopkgtest-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err == nil && (uid != os.Getuid() || gid != os.Getgid()) {
		err = f.Chown(uid, gid)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func lookupOwner(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, fmt.Errorf("there is no account %q on this machine: %w", name, err)
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(u.Gid)
	return uid, gid, err
}

// checkOwner refuses an owner that is no account of this machine; none is right.
func checkOwner(name string) error {
	if name == "" {
		return nil
	}
	if _, _, err := lookupOwner(name); err != nil {
		return &problem{
			title:  fmt.Sprintf("Nobody on this machine is called %q", name),
			detail: "Correct the owner, or make the account before this apply.", err: err,
		}
	}
	return nil
}

// ownedBy says whether a file belongs to the owner that the configuration names.
func ownedBy(path, owner string) (bool, error) {
	if owner == "" {
		return true, nil
	}
	uid, _, err := lookupOwner(owner)
	if err != nil {
		return false, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return false, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == uid, nil
}

// removeFile removes a file that a resource made, and the stack's folder if it was the last thing in it.
func (s *settings) removeFile(ctx context.Context, path string) error {
	d, name, err := s.stackAround(path)
	if err != nil {
		return err
	}
	if d == nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := d.Remove(ctx, name); err != nil {
		return err
	}
	_, err = d.Release(ctx)
	return err
}
