package directory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// pageSize is the largest page; the same as Swift's usual limit.
const pageSize = 10000

// List implements store.Store.
func (s *Store) List(ctx context.Context, container string, query store.Query) ([]store.Entry, error) {
	what := "list " + container
	if err := first(ctx.Err(), store.CheckContainer(container), query.Check()); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if query.Limit == 0 || query.Limit > pageSize {
		query.Limit = pageSize
	}
	if info, err := s.root.Stat(container); err != nil || !info.IsDir() {
		return nil, failed(what, first(err, fs.ErrNotExist))
	}
	l := &listing{ctx: ctx, tree: s.root.FS(), container: container, query: query}
	if err := l.folder(""); err != nil && !errors.Is(err, errFull) {
		return nil, failed(what, err)
	}
	return l.entries, nil
}

// listing goes through a container's folders in the order of the objects' full names.
type listing struct {
	ctx       context.Context
	tree      fs.FS
	container string
	query     store.Query
	entries   []store.Entry
}

// errFull ends the walk when the page is full.
var errFull = errors.New("the page is full")

// folder lists what is below the folder with the given name, which is empty or ends in a slash.
func (l *listing) folder(name string) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	children, err := fs.ReadDir(l.tree, path.Join(l.container, name))
	if errors.Is(err, fs.ErrNotExist) && name != "" {
		return nil // it went away meanwhile
	}
	if err != nil {
		return err
	}
	// Full names sort as if a folder's name ended in the slash that its objects' names have there.
	key := func(entry fs.DirEntry) string {
		if entry.IsDir() {
			return entry.Name() + "/"
		}
		return entry.Name()
	}
	sort.Slice(children, func(i, j int) bool { return key(children[i]) < key(children[j]) })
	for _, child := range children {
		full := name + key(child)
		switch {
		case child.IsDir():
			if !l.reaches(full) {
				continue
			}
			if err := l.folder(full); err != nil {
				return err
			}
		case child.Type().IsRegular():
			if err := l.object(full, child); err != nil {
				return err
			}
		}
	}
	return nil
}

// reaches says whether names that begin with the folder's can be in the listing.
func (l *listing) reaches(folder string) bool {
	if !strings.HasPrefix(folder, l.query.Prefix) && !strings.HasPrefix(l.query.Prefix, folder) {
		return false
	}
	if folder < l.query.Marker && !strings.HasPrefix(l.query.Marker, folder) {
		return false // all of them are smaller than the marker
	}
	subdirectory, found := l.subdirectory(folder)
	return !found || !l.listed(subdirectory)
}

// listed says whether a subdirectory is in the listing already, or was the last line of the page before.
func (l *listing) listed(subdirectory string) bool {
	if subdirectory == l.query.Marker {
		return true
	}
	return len(l.entries) > 0 && l.entries[len(l.entries)-1].Name == subdirectory
}

// subdirectory is the part of a name up to the first delimiter after the prefix.
func (l *listing) subdirectory(name string) (string, bool) {
	if l.query.Delimiter == "" || len(name) < len(l.query.Prefix) {
		return "", false
	}
	at := strings.Index(name[len(l.query.Prefix):], l.query.Delimiter)
	if at < 0 {
		return "", false
	}
	return name[:len(l.query.Prefix)+at+len(l.query.Delimiter)], true
}

func (l *listing) object(name string, child fs.DirEntry) error {
	if !strings.HasPrefix(name, l.query.Prefix) || name <= l.query.Marker {
		return nil
	}
	entry := store.Entry{Name: name}
	if subdirectory, found := l.subdirectory(name); found {
		if l.listed(subdirectory) {
			return nil
		}
		entry = store.Entry{Name: subdirectory, Subdirectory: true}
	} else {
		info, err := child.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		entry.Size, entry.Modified = info.Size(), info.ModTime().UTC()
	}
	l.entries = append(l.entries, entry)
	if len(l.entries) == l.query.Limit {
		return errFull
	}
	return nil
}
