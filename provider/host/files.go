package host

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// staleTemporary is the age from which a temporary file is taken for one that an interrupted write left behind.
const staleTemporary = 10 * time.Minute

// readLimit is far above anything that is read whole: manifests, configuration, one log file of 10 MB.
const readLimit = 64 << 20

// open opens the folder. Everything is done below the os.Root that it returns, because root works here in a folder that
// another account may change at any moment: no link in it leads root's hand outside. The owner is checked for the
// same reason; a folder put in place of ours could be anybody's.
func (d *Directory) open() (*os.Root, error) {
	root, err := os.OpenRoot(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, d.absent()
	}
	if err != nil {
		return nil, fmt.Errorf("open the stack's folder: %w", err)
	}
	info, err := root.Stat(".")
	if err == nil && ownerOf(info) != d.account.UID {
		err = &Problem{Kind: ErrForeign, Thing: "the folder " + d.path,
			Cause:  fmt.Sprintf("belongs to user id %d, not to %s", ownerOf(info), d.account.Name),
			WayOut: "Give it back with chown, or use another folder."}
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// ownerOf is the user id of a file's owner.
func ownerOf(info fs.FileInfo) int {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1 // nobody's; files of this machine always tell
	}
	return int(stat.Uid)
}

func local(name string) error {
	if !filepath.IsLocal(name) {
		return &Problem{Kind: ErrInvalid, Thing: fmt.Sprintf("the name %q", name), Cause: "leads out of the folder",
			WayOut: "Use a name relative to the folder."}
	}
	return nil
}

// WriteFile makes the named file hold data, in one step, with the account as its owner. It says whether anything had
// to be changed. Missing folders on the way are made. The name is relative to the folder.
func (d *Directory) WriteFile(name string, data []byte, perm fs.FileMode) (changed bool, err error) {
	return d.write(name, data, perm, d.account.UID, d.account.GID)
}

// WriteFileFor is [Directory.WriteFile] for a file with another owner, such as the credentials of britney's account.
// An empty owner is the account. Only root can give files away; otherwise the error is ErrAccount.
func (d *Directory) WriteFileFor(name string, data []byte, perm fs.FileMode, owner string) (changed bool, err error) {
	if owner == "" || owner == d.account.Name {
		return d.WriteFile(name, data, perm)
	}
	if os.Geteuid() != 0 {
		return false, &Problem{Kind: ErrAccount, Thing: "the file " + d.Path(name),
			Cause:  fmt.Sprintf("cannot be given to %q by %q", owner, d.account.Name),
			WayOut: "Run this as root, or leave the owner out."}
	}
	to, err := accountOf(user.Lookup(owner))
	if err != nil {
		return false, &Problem{Kind: ErrAccount, Thing: "the file " + d.Path(name),
			Cause: fmt.Sprintf("is meant for %q, which is no account of this machine", owner), Err: err,
			WayOut: "Correct the owner, or make the account."}
	}
	return d.write(name, data, perm, to.UID, to.GID)
}

func (d *Directory) write(name string, data []byte, perm fs.FileMode, uid, gid int) (bool, error) {
	if err := local(name); err != nil {
		return false, err
	}
	root, err := d.open()
	if err != nil {
		return false, err
	}
	defer root.Close()
	if same(root, name, data, perm, uid) {
		return false, nil
	}
	if err := d.mkdirAll(root, filepath.Dir(name), 0o755); err != nil {
		return false, err
	}
	if err := replace(root, name, data, perm, uid, gid); err != nil {
		return false, fmt.Errorf("write %s: %w", d.Path(name), err)
	}
	return true, nil
}

// same says whether the file already is as wanted.
func same(root *os.Root, name string, data []byte, perm fs.FileMode, uid int) bool {
	info, err := root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != perm || info.Size() != int64(len(data)) ||
		ownerOf(info) != uid {
		return false
	}
	present, err := readRegular(root, name)
	return err == nil && bytes.Equal(present, data)
}

// readRegular reads a file that may have been put there by somebody else: no pipe blocks us.
func readRegular(root *os.Root, name string) ([]byte, error) {
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")})
	}
	data, err := io.ReadAll(io.LimitReader(file, readLimit+1))
	if err == nil && len(data) > readLimit {
		err = &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("larger than %d bytes", readLimit)}
	}
	return data, err
}

// replace writes a temporary file beside the named one and renames it, so that a reader sees the old contents or the
// new ones whatever happens to us. The file is given away while nobody knows its name.
func replace(root *os.Root, name string, data []byte, perm fs.FileMode, uid, gid int) (err error) {
	prefix := "." + filepath.Base(name) + ".new-"
	temporary := filepath.Join(filepath.Dir(name), prefix+rand.Text()[:8])
	file, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreAbsent(root.Remove(temporary)))
		}
	}()
	_, err = file.Write(data)
	if err == nil && os.Geteuid() == 0 {
		err = file.Chown(uid, gid)
	}
	if err == nil {
		err = file.Chmod(perm)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err = root.Rename(temporary, name); err != nil {
		return err
	}
	return settle(root, filepath.Dir(name), prefix)
}

// settle makes a rename durable and removes what interrupted writes of the same file left.
func settle(root *os.Root, folder, prefix string) error {
	handle, err := root.Open(folder)
	if err != nil {
		return err
	}
	defer handle.Close()
	entries, err := handle.ReadDir(-1)
	for _, entry := range entries {
		if info, err := entry.Info(); strings.HasPrefix(entry.Name(), prefix) && err == nil &&
			time.Since(info.ModTime()) > staleTemporary {
			err = ignoreAbsent(root.Remove(filepath.Join(folder, entry.Name())))
			if err != nil {
				return err
			}
		}
	}
	return errors.Join(err, handle.Sync())
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// MkdirAll makes a folder and its parents, owned by the account.
func (d *Directory) MkdirAll(name string, perm fs.FileMode) error {
	if err := local(name); err != nil {
		return err
	}
	root, err := d.open()
	if err != nil {
		return err
	}
	defer root.Close()
	return d.mkdirAll(root, name, perm)
}

// mkdirAll makes folders one by one, so that each gets its owner; those that are there keep what they have.
func (d *Directory) mkdirAll(root *os.Root, name string, perm fs.FileMode) error {
	if name == "." {
		return nil
	}
	if err := d.mkdirAll(root, filepath.Dir(name), 0o755); err != nil {
		return err
	}
	err := root.Mkdir(name, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the folder %s: %w", d.Path(name), err)
	}
	isNew := err == nil
	if !isNew && os.Geteuid() != 0 {
		return nil
	}
	if err := d.hand(root, name, perm, isNew); err != nil {
		return fmt.Errorf("make the folder %s: %w", d.Path(name), err)
	}
	return nil
}

// hand gives a folder its mode and then its owner. In this order a folder that root still has is one whose making was
// interrupted here, and is finished.
func (d *Directory) hand(root *os.Root, name string, perm fs.FileMode, isNew bool) error {
	folder, err := root.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer folder.Close()
	info, err := folder.Stat()
	if err != nil || !isNew && ownerOf(info) != 0 {
		return err
	}
	if err := folder.Chmod(perm); err != nil || os.Geteuid() != 0 {
		return err
	}
	return folder.Chown(d.account.UID, d.account.GID)
}

// ReadFile reads a file below the folder. A missing one is fs.ErrNotExist.
func (d *Directory) ReadFile(name string) ([]byte, error) {
	root, err := d.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	data, err := readRegular(root, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.Path(name), err)
	}
	return data, nil
}

// Exists says whether there is something of that name below the folder.
func (d *Directory) Exists(name string) bool {
	root, err := d.open()
	if err != nil {
		return false
	}
	defer root.Close()
	_, err = root.Lstat(name)
	return err == nil
}
