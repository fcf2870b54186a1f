// Package directory keeps results in a folder of this machine: for a cloud of one machine, and as the reference of what
// package store promises. Objects are plain files below the folder of their container, so that they can be read without
// us.
//
// It does not serve anything to anybody, and it does not lock out who may write to the folder. One name cannot be an
// object and the beginning of other objects' names (a and a/b). Start reading at New.
package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"syscall"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// What lies beside the containers; no container's name begins with a dot.
const (
	accessFolder     = ".access"     // CONTAINER: "public" or "private", then readers, one a line
	propertiesFolder = ".properties" // CONTAINER/OBJECT.json
	newFolder        = ".new"        // files that are being written
)

// Store is a folder. Several processes may use it at a time.
type Store struct {
	root *os.Root

	// commit makes an object and its properties change together for the readers of this process. Those of another one
	// may for an instant see a replaced object with the properties of the one before.
	commit sync.RWMutex
}

var _ store.Store = (*Store)(nil)

// New opens the folder and makes it if it does not exist. Close it after use.
func New(path string) (*Store, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	for _, folder := range []string{accessFolder, propertiesFolder, newFolder} {
		if err := root.MkdirAll(folder, 0o755); err != nil {
			return nil, errors.Join(fmt.Errorf("open store %s: %w", path, err), root.Close())
		}
	}
	s := &Store{root: root}
	if err := s.sweep(); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", path, err), root.Close())
	}
	return s, nil
}

// stale is the age at which a file that is being written belongs to a process that died.
const stale = 24 * time.Hour

// sweep removes what crashes left behind.
func (s *Store) sweep() error {
	entries, err := fs.ReadDir(s.root.FS(), newFolder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if time.Since(info.ModTime()) > stale {
			if err := s.remove(path.Join(newFolder, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close gives the folder back. No method may be called afterwards; bodies that are open stay readable.
func (s *Store) Close() error { return s.root.Close() }

// CreateContainer implements store.Store. Access is only noted down, for whoever serves the folder.
func (s *Store) CreateContainer(ctx context.Context, name string, public bool, readers ...string) error {
	what := "create container " + name
	if err := first(ctx.Err(), store.CheckContainer(name), store.CheckAccess(public, readers)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	access := "private\n"
	if public {
		access = "public\n"
	}
	for _, reader := range readers {
		access += reader + "\n"
	}
	s.commit.Lock()
	defer s.commit.Unlock()
	if err := s.replace(path.Join(accessFolder, name), []byte(access)); err != nil {
		return failed(what, err)
	}
	if err := s.root.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return failed(what, err)
	}
	return nil
}

// Containers implements store.Store.
func (s *Store) Containers(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	entries, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return nil, failed("list containers", err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() && store.CheckContainer(entry.Name()) == nil {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, container, object string) (io.ReadCloser, store.Properties, error) {
	what := "get " + container + "/" + object
	if err := first(ctx.Err(), store.CheckObject(container, object)); err != nil {
		return nil, store.Properties{}, fmt.Errorf("%s: %w", what, err)
	}
	s.commit.RLock()
	defer s.commit.RUnlock()
	file, err := s.root.Open(path.Join(container, object))
	if err != nil {
		return nil, store.Properties{}, failed(what, err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist // a folder: the beginning of other objects' names
	}
	if err != nil {
		return nil, store.Properties{}, errors.Join(failed(what, err), file.Close())
	}
	properties, err := s.properties(container, object)
	if err != nil {
		return nil, store.Properties{}, errors.Join(failed(what, err), file.Close())
	}
	properties.Size = info.Size()
	return &body{ctx: ctx, file: file}, properties, nil
}

// body ends with its context.
type body struct {
	ctx  context.Context
	file *os.File
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.file.Read(p)
}

func (b *body) Close() error { return b.file.Close() }

// defaultType is Swift's for an object that was put without one.
const defaultType = "application/octet-stream"

type savedProperties struct {
	ContentType     string `json:"content_type,omitempty"`
	ContentEncoding string `json:"content_encoding,omitempty"`
}

func propertiesPath(container, object string) string {
	return path.Join(propertiesFolder, container, object) + ".json"
}

func (s *Store) properties(container, object string) (store.Properties, error) {
	var saved savedProperties
	content, err := s.root.ReadFile(propertiesPath(container, object))
	switch {
	case errors.Is(err, fs.ErrNotExist): // a file that was laid here by hand
	case err != nil:
		return store.Properties{}, err
	default:
		if err := json.Unmarshal(content, &saved); err != nil {
			return store.Properties{}, fmt.Errorf("%s: %w", propertiesPath(container, object), err)
		}
	}
	if saved.ContentType == "" {
		saved.ContentType = defaultType
	}
	return store.Properties{ContentType: saved.ContentType, ContentEncoding: saved.ContentEncoding}, nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// failed gives an error of the file system its kind.
func failed(what string, err error) error {
	for _, kind := range []struct {
		kind   error
		causes []error
	}{
		{store.ErrNotFound, []error{fs.ErrNotExist, syscall.ENOTDIR}},
		{store.ErrDenied, []error{fs.ErrPermission, syscall.EROFS}},
		{store.ErrUnavailable, []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EMFILE, syscall.ENFILE}},
		{store.ErrInvalid, []error{syscall.ENAMETOOLONG, syscall.EISDIR, syscall.ENOTEMPTY, fs.ErrExist}},
	} {
		for _, cause := range kind.causes {
			if errors.Is(err, cause) {
				return fmt.Errorf("%s: %w: %w", what, kind.kind, err)
			}
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}
