package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// sweepGrace is how long services may take to stop when the whole stack goes. It is enough for a broker to close its
// files (6 to 8 s). Nobody waits for tests to be drained: their requests stay in the broker, or go with it.
const sweepGrace = 15 * time.Second

// sweepPatience is how long Sweep waits for somebody who is changing the stack right now. One that was interrupted gives
// its locks back by dying, so who holds them for longer is at work and should be asked about.
const sweepPatience = 30 * time.Second

// Sweep removes a stack of which nothing is known but its folder: it ends every process that bears the folder's mark,
// and only those, and removes the folder. A folder without our mark is ErrForeign; an absent one is no error, but
// processes that bear its mark are ended all the same.
func Sweep(ctx context.Context, path string) error {
	if err := checkNames(path, "any"); err != nil {
		return err
	}
	d, _, err := find(path)
	if errors.Is(err, ErrAbsent) {
		return sweepRemains(ctx, path)
	}
	if err != nil {
		return err
	}
	root, err := d.open()
	if err != nil {
		return err
	}
	defer root.Close()
	unlock, err := d.lockEverything(ctx, root)
	defer unlock()
	if errors.Is(err, ErrAbsent) {
		return nil // another one was faster
	}
	if err != nil {
		return err
	}
	if err := d.supervision().endEverything(ctx); err != nil {
		return fmt.Errorf("sweep %s: %w", d.path, err)
	}
	return d.removeTree(ctx, root)
}

// lockEverything takes all locks that there are, in the usual order.
func (d *Directory) lockEverything(ctx context.Context, root *os.Root) (unlock func(), err error) {
	var unlocks []func()
	unlock = func() {
		for _, each := range unlocks {
			each()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, sweepPatience)
	defer cancel()
	names, err := list(root, ".")
	if err != nil {
		return unlock, err
	}
	wanted := []string{lockCaller}
	for _, name := range names {
		if strings.HasPrefix(name, lockService) {
			wanted = append(wanted, name)
		}
	}
	for _, name := range append(wanted, lockStructure) {
		one, err := d.lock(ctx, name)
		if err != nil {
			return unlock, err
		}
		unlocks = append(unlocks, one)
	}
	return unlock, nil
}

// sweepRemains is for a folder that is gone or was never finished: there may be processes, and an empty folder.
func sweepRemains(ctx context.Context, path string) error {
	path, err := canonical(path)
	if err != nil {
		return fmt.Errorf("look for the stack's folder: %w", err)
	}
	d := &Directory{path: path, account: Account{UID: os.Geteuid()}}
	if d.account.UID == 0 {
		// Whose they are nobody can say any more; but no stack's process is root's.
		d.account.UID, d.anyUser = -1, true
	}
	if err := d.endRemains(ctx); err != nil {
		return fmt.Errorf("sweep %s: %w", path, err)
	}
	root, err := os.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep %s: %w", path, err)
	}
	defer root.Close()
	if blank, err := isBlank(root); err != nil || !blank {
		return errors.Join(err, foreign(path, "is in use by others", nil))
	}
	return d.removeTree(ctx, root)
}

// endRemains ends what runs on without its folder, under whatever supervision. Units come first: they would bring back what others end.
func (d *Directory) endRemains(ctx context.Context) error {
	units, err := d.unitFiles()
	if err != nil {
		return err
	}
	all, err := d.processes()
	if err != nil {
		return err
	}
	inUnits := all.choose(func(p process) bool { return p.ownUnit() != "" })
	if len(units)+len(inUnits) > 0 {
		if err := (systemd{d}).endEverything(ctx); err != nil {
			return err
		}
	}
	return runit{d}.endEverything(ctx)
}

// removeTree removes the folder, its mark last: until then it can be swept again.
func (d *Directory) removeTree(ctx context.Context, root *os.Root) error {
	names, err := list(root, ".")
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == markName || name == lockStructure {
			continue
		}
		if err := d.remove(ctx, root, name); err != nil {
			return err
		}
	}
	for _, name := range []string{markName, lockStructure} {
		if err := ignoreAbsent(root.Remove(name)); err != nil {
			return fmt.Errorf("remove %s: %w", d.Path(name), err)
		}
	}
	err = ignoreAbsent(os.Remove(d.path))
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EBUSY) {
		return nil // the empty folder was there before us, where we may not remove it
	}
	return err
}
