package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Remove removes a file or a whole folder below the folder, also one whose files belong to the account's subordinate
// ids. What is not there is no error.
func (d *Directory) Remove(ctx context.Context, name string) error {
	if err := local(name); err != nil {
		return err
	}
	root, err := d.open()
	if errors.Is(err, ErrAbsent) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	return d.remove(ctx, root, name)
}

func (d *Directory) remove(ctx context.Context, root *os.Root, name string) error {
	err := root.RemoveAll(name)
	if err == nil {
		return nil
	}
	// A testbed's root file system belongs to ids that only exist inside the account's user namespaces, and holds
	// folders that nobody may enter. In such a namespace the account is root over all of that.
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		err = d.Run(ctx, Command{Argv: []string{"unshare", "--map-auto", "--map-root-user",
			"rm", "-rf", "--one-file-system", "--", d.Path(name)}})
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", d.Path(name), err)
	}
	return nil
}

// removeBut removes what is in a folder, except for the entries of those names, and the folder when none is left.
func (d *Directory) removeBut(ctx context.Context, root *os.Root, folder string, keep []string) error {
	if len(keep) == 0 {
		return d.remove(ctx, root, folder)
	}
	names, err := list(root, folder)
	if err != nil {
		return err
	}
	kept := false
	for _, name := range names {
		if slices.Contains(keep, name) {
			kept = true
			continue
		}
		if err := d.remove(ctx, root, filepath.Join(folder, name)); err != nil {
			return err
		}
	}
	if kept {
		return nil
	}
	return d.remove(ctx, root, folder)
}
