package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The locks, always taken in this order: the caller's, that of one service (a drain can keep it for long), and that of
// what all services share, which is only ever held for moments.
const (
	lockCaller    = ".lock"
	lockService   = ".lock-service-" // and the service's name
	lockStructure = ".lock-structure"
)

// lockLimit bounds each wait for a lock: who waits longer wants to know why.
const lockLimit = 10 * time.Minute

// Lock gives the caller its turn on the folder, among goroutines as among processes. It waits until the context ends,
// at most ten minutes; then the error is ErrBusy and says who holds it. The other methods take turns by locks of their
// own, so they may be called while holding this one.
func (d *Directory) Lock(ctx context.Context) (unlock func(), err error) {
	return d.lock(ctx, lockCaller)
}

// lock waits for its turn. A killed holder loses the lock at once, as flock belongs to the open file; so a lock file
// that was left behind means nothing.
func (d *Directory) lock(ctx context.Context, name string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, lockLimit)
	defer cancel()
	for {
		file, err := d.tryLock(name)
		if err != nil {
			return nil, err
		}
		if file != nil {
			return func() { unlockFile(file) }, nil
		}
		if sleep(ctx, pause) != nil {
			return nil, d.busy(ctx, name)
		}
	}
}

// tryLock returns nil when somebody else has the lock, or had it and removed its file.
func (d *Directory) tryLock(name string) (*os.File, error) {
	root, err := d.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, err := d.openLock(root, name)
	if err != nil {
		return nil, fmt.Errorf("open the lock %s: %w", d.Path(name), err)
	}
	locked, err := takeLock(root, file, name)
	if err != nil {
		err = fmt.Errorf("lock %s: %w", d.Path(name), err)
	}
	if err != nil || !locked {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func (d *Directory) openLock(root *os.Root, name string) (*os.File, error) {
	file, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NONBLOCK, 0o644)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a file")
	}
	if err == nil && os.Geteuid() == 0 && ownerOf(info) == 0 {
		// The account itself must be able to lock its folder another day.
		err = file.Chown(d.account.UID, d.account.GID)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// takeLock locks the open file, unless somebody else has it, or has removed it from the folder meanwhile: then it is a
// lock that nobody else can see.
func takeLock(root *os.Root, file *os.File, name string) (bool, error) {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	ours, err := file.Stat()
	if err != nil {
		return false, err
	}
	now, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(ours, now) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	sign(file)
	return true, nil
}

// sign writes who holds the lock, for the message of those who wait in vain. A full disk must not keep anybody from
// locking: what fills it may be about to be removed.
func sign(file *os.File) {
	text := fmt.Sprintf("process %d (%s) since %s\n", os.Getpid(), filepath.Base(os.Args[0]), time.Now().Format(time.DateTime))
	if file.Truncate(0) == nil {
		_, _ = file.WriteAt([]byte(text), 0)
	}
}

// unlockFile gives the lock back; nothing can go wrong that would keep it. Closing the file alone does not do for a moment: a program
// that this process is starting has it open, too, until it has taken its place.
func unlockFile(file *os.File) {
	_ = file.Truncate(0)
	_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
	_ = file.Close()
}

func (d *Directory) busy(ctx context.Context, name string) error {
	by := "another process"
	if data, err := d.ReadFile(name); err == nil && len(data) > 0 {
		by = shorten(strings.TrimSpace(string(data)))
	}
	return &Problem{Kind: ErrBusy, Thing: "the folder " + d.path, Cause: "is being changed by " + by, Err: context.Cause(ctx),
		WayOut: "Wait until it is done, or end it; what it leaves unfinished the next run finishes."}
}
