package lease

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// record is the file that names a life's lease for the next start of the worker: its object, and whether that has ever been
// in the store.
type record struct {
	path    string
	object  string
	written bool
}

const writtenMark = "written"

func readRecord(path string) (record, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return record{}, fmt.Errorf("read the record of a lease: %w", err)
	}
	object, rest, _ := strings.Cut(strings.TrimSpace(string(content)), "\n")
	return record{path, object, rest == writtenMark}, nil
}

func (r record) write() error {
	text := r.object + "\n"
	if r.written {
		text += writtenMark + "\n"
	}
	draft := filepath.Join(filepath.Dir(r.path), "."+filepath.Base(r.path))
	if err := os.WriteFile(draft, []byte(text), 0o600); err != nil {
		return fmt.Errorf("note a lease down: %w", err)
	}
	if err := os.Rename(draft, r.path); err != nil {
		return fmt.Errorf("note a lease down: %w", err)
	}
	return nil
}

func (r record) remove() error {
	if err := os.Remove(r.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the record of a lease: %w", err)
	}
	return nil
}
