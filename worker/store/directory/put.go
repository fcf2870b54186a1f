package directory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"github.com/google/uuid"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// Put implements store.Store. The object is written beside its place, brought to the disk and then renamed, so that a
// crash leaves it whole or absent.
func (s *Store) Put(ctx context.Context, container, object string, body io.ReadSeeker, size int64,
	properties store.Properties,
) error {
	what := "put " + container + "/" + object
	if err := first(ctx.Err(), store.CheckObject(container, object)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if info, err := s.root.Stat(container); err != nil || !info.IsDir() {
		return failed(what, first(err, syscall.ENOTDIR))
	}
	temporary, err := s.write(ctx, body, size)
	if err != nil {
		return failed(what, err)
	}
	for try := 1; ; try++ {
		err := s.place(temporary, container, object, properties)
		if err == nil {
			return nil
		}
		// Another process may have removed the folder between our making it and our using it, with the last object in it.
		if try == placeTries || !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(failed(what, err), s.remove(temporary))
		}
	}
}

// placeTries bounds a quarrel with a process that deletes beside us.
const placeTries = 5

// place moves a written file to its name, its properties first: an object is never seen without them.
func (s *Store) place(temporary, container, object string, properties store.Properties) error {
	saved, err := json.Marshal(savedProperties{properties.ContentType, properties.ContentEncoding})
	if err != nil {
		return err
	}
	name := path.Join(container, object)
	folder := path.Dir(propertiesPath(container, object))
	s.commit.Lock()
	defer s.commit.Unlock()
	// A name cannot be a file and a folder. The error of MkdirAll would read as if the container were missing.
	if err := s.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		if errors.Is(err, syscall.ENOTDIR) {
			return fmt.Errorf("%w: the beginning of the name is an object itself", store.ErrInvalid)
		}
		return err
	}
	if info, err := s.root.Stat(name); err == nil && info.IsDir() {
		return fmt.Errorf("%w: there are objects whose names go on after this one", store.ErrInvalid)
	}
	if err := s.root.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := s.replace(propertiesPath(container, object), saved); err != nil {
		return err
	}
	if err := s.root.Rename(temporary, name); err != nil {
		return err
	}
	return s.sync(path.Dir(name))
}

// write copies exactly size bytes of the body to a file below newFolder and brings them to the disk.
func (s *Store) write(ctx context.Context, content io.Reader, size int64) (_ string, err error) {
	name := path.Join(newFolder, uuid.NewString())
	file, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", err
	}
	defer func() {
		if closed := file.Close(); err == nil {
			err = closed
		}
		if err != nil {
			err = errors.Join(err, s.remove(name))
		}
	}()
	// One byte more than promised, to notice a body that is too long.
	n, err := io.Copy(file, &bodyReader{ctx: ctx, reader: io.LimitReader(content, size+1)})
	if err != nil {
		return "", err
	}
	if n != size {
		return "", fmt.Errorf("%w: the body has %s than %d bytes", store.ErrInvalid, comparison(n, size), size)
	}
	return name, file.Sync()
}

func comparison(n, size int64) string {
	if n < size {
		return "less"
	}
	return "more"
}

type bodyReader struct {
	ctx    context.Context
	reader io.Reader
}

func (r *bodyReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.reader.Read(p)
}

// replace writes a small file at once, so that a reader sees the old or the new one. Its folder must exist.
func (s *Store) replace(name string, content []byte) error {
	temporary, err := s.write(context.Background(), bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return err
	}
	if err := s.root.Rename(temporary, name); err != nil {
		return errors.Join(err, s.remove(temporary))
	}
	return s.sync(path.Dir(name))
}

// sync brings a folder's names to the disk.
func (s *Store) sync(folder string) error {
	file, err := s.root.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

func (s *Store) remove(name string) error {
	if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
