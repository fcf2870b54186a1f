package lease

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// record is what the next start of the worker must know of a life's lease: a file, called by its handle.
type record struct {
	path string

	Object    string `json:"object"`              // the lease's name
	Written   bool   `json:"written,omitempty"`   // it has been in the store
	Published string `json:"published,omitempty"` // see Content
	Doubtful  bool   `json:"doubtful,omitempty"`  // see Content
}

func readRecord(path string) (record, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return record{}, fmt.Errorf("read the record of a lease: %w", err)
	}
	r := record{path: path}
	_ = json.Unmarshal(content, &r) // one that is damaged names no lease
	return r, nil
}

// supplement is what a lease in the store says, with what was noted down since.
func (r record) supplement(c Content) Content {
	c.Doubtful, c.Published = r.Doubtful, cmp.Or(r.Published, c.Published)
	return c
}

// draft is where the record is written before it takes the file's place. No handle begins with a dot.
func (r record) draft() string { return filepath.Join(filepath.Dir(r.path), "."+filepath.Base(r.path)) }

// write brings the record into the file. It is for a worker that is killed, not for a machine that crashes.
func (r record) write() error {
	content, err := json.Marshal(r)
	if err != nil {
		return err
	}
	err = os.WriteFile(r.draft(), append(content, '\n'), 0o600)
	if err == nil {
		err = os.Rename(r.draft(), r.path)
	}
	if err != nil {
		_ = os.Remove(r.draft()) // a full disk leaves a part
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
