package directory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"syscall"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// Delete implements store.Store. A crash leaves the object whole or absent; at worst its properties stay behind, which the
// next object of that name replaces.
func (s *Store) Delete(ctx context.Context, container, object string) error {
	what := "delete " + container + "/" + object
	if err := first(ctx.Err(), store.CheckObject(container, object)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	s.commit.Lock()
	defer s.commit.Unlock()
	name := path.Join(container, object)
	if info, err := s.root.Lstat(name); isNotThere(err) || err == nil && info.IsDir() {
		return nil // a folder is the beginning of other objects' names, no object
	} else if err != nil {
		return failed(what, err)
	}
	for _, file := range []string{name, propertiesPath(container, object)} {
		if err := s.root.Remove(file); err != nil && !isNotThere(err) {
			return failed(what, err)
		}
	}
	if err := s.sync(path.Dir(name)); err != nil && !isNotThere(err) {
		return failed(what, err)
	}
	s.prune(path.Dir(name), container)
	s.prune(path.Dir(propertiesPath(container, object)), path.Join(propertiesFolder, container))
	return nil
}

func isNotThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// prune removes the folders that have become empty, up to a container's: an object could not take their name. One that is
// filled at this moment stays, because only an empty folder can be removed.
func (s *Store) prune(folder, top string) {
	for ; folder != top; folder = path.Dir(folder) {
		if s.root.Remove(folder) != nil {
			return
		}
	}
}
