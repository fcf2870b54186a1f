package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Stop ends a service's processes (TERM, each at most its StopWait, then KILL with all leftovers) and leaves its files.
// The next Converge starts it again.
func (d *Directory) Stop(ctx context.Context, name string) error {
	return d.withService(ctx, name, func(root *os.Root) error {
		_, err := d.haltAll(ctx, root, name)
		return err
	})
}

// Withdraw stops a service and removes its folder, its logs and the binaries that nobody else uses. A service that is
// not there is no error. What is kept, by its name in the service's folder, stays there for the next Converge.
func (d *Directory) Withdraw(ctx context.Context, name string, keep ...string) error {
	return d.withService(ctx, name, func(root *os.Root) error {
		processes, err := d.haltAll(ctx, root, name)
		if err != nil {
			return err
		}
		for _, process := range processes {
			if err := d.supervision().process(root, name, process).forget(ctx); err != nil {
				return err
			}
		}
		// Without its manifest the service counts as half-made: it can be withdrawn once more if this is cut short.
		folder := filepath.Join("services", name)
		if err := d.remove(ctx, root, filepath.Join(folder, manifestName)); err != nil {
			return err
		}
		if err := d.removeBut(ctx, root, folder, keep); err != nil {
			return err
		}
		if err := d.pruneBinaries(ctx, root); err != nil {
			return err
		}
		return ignoreAbsent(root.Remove(lockService + name))
	})
}

// withService runs an action while holding the service's lock. Where there is no stack there is nothing to do.
func (d *Directory) withService(ctx context.Context, name string, action func(*os.Root) error) error {
	if !goodName.MatchString(name) {
		return &Problem{Kind: ErrInvalid, Thing: fmt.Sprintf("the service's name %q", name), Cause: "cannot be one"}
	}
	if err := d.supervision().usable(); err != nil {
		return fmt.Errorf("remove service %s: %w", name, err)
	}
	unlock, err := d.lock(ctx, lockService+name)
	if errors.Is(err, ErrAbsent) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	root, err := d.open()
	if err != nil {
		return err
	}
	defer root.Close()
	// The last service's removal may have taken the folder away while ours was at its end.
	if err := action(root); err != nil && !errors.Is(err, ErrAbsent) {
		return fmt.Errorf("remove service %s: %w", name, err)
	}
	return nil
}

// haltAll ends all processes of a service side by side and says which it had.
func (d *Directory) haltAll(ctx context.Context, root *os.Root, service string) ([]string, error) {
	names, err := d.supervision().names(root, service)
	if err != nil {
		return nil, err
	}
	processes := make([]supervisedProcess, len(names))
	errs := make([]error, len(names)+1)
	for i, name := range names {
		processes[i] = d.supervision().process(root, service, name)
		errs[i] = processes[i].hide(ctx)
	}
	var group sync.WaitGroup
	for i, p := range processes {
		group.Go(func() {
			if errs[i] == nil {
				errs[i] = p.halt(ctx)
			}
		})
	}
	group.Wait()
	// What a testbed of the service left, and nothing but its place gives away.
	folder := d.ServicePath(service) + "/"
	errs[len(names)] = d.end(ctx, 0, func(_ snapshot, p process) bool { return strings.HasPrefix(p.where, folder) })
	return names, errors.Join(errs...)
}

// dismiss ends a process for good.
func dismiss(ctx context.Context, p supervisedProcess) error {
	if err := p.hide(ctx); err != nil {
		return err
	}
	if err := p.halt(ctx); err != nil {
		return err
	}
	return p.forget(ctx)
}

// Release removes the supervisor and the folder once no service, no credentials file and no image is left in it. It
// says whether the folder is gone.
func (d *Directory) Release(ctx context.Context) (gone bool, err error) {
	unlock, err := d.lock(ctx, lockStructure)
	if errors.Is(err, ErrAbsent) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer unlock()
	root, err := d.open()
	if err != nil {
		return false, err
	}
	defer root.Close()
	for _, folder := range []string{"services", "credentials", "images"} {
		names, err := list(root, folder)
		if err != nil {
			return false, err
		}
		for _, name := range names {
			if !strings.HasPrefix(name, ".") {
				return false, nil
			}
		}
	}
	if err := d.supervision().endEverything(ctx); err != nil {
		return false, err
	}
	return true, d.removeTree(ctx, root)
}
