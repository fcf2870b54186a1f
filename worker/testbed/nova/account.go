package nova

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// account is the folder in which a testbed's set-up script notes what it has made, for its own later calls and for the worker.
type account struct{ folder string }

// record is what is noted. It is there before anything is made.
type record struct {
	Source  string   `json:"source"` // as in Plan
	Servers []string `json:"servers,omitempty"`
	Mark    string   `json:"mark,omitempty"` // of its floating IP, if it is to have one
	Host    string   `json:"host,omitempty"` // where ssh answers
	Port    int      `json:"port,omitempty"`
	BootID  string   `json:"boot_id,omitempty"` // of the running kernel

	// Asked is when the cloud was asked to make something of which it is not known yet whether it has; zero if there is no such thing.
	Asked time.Time `json:"asked,omitzero"`

	Opened  bool     `json:"opened,omitempty"` // a testbed was handed over
	Closed  bool     `json:"closed,omitempty"` // and everything is removed
	Failure *failure `json:"failure,omitempty"`
}

// failure is what the region did wrong.
type failure struct {
	// Region says that another testbed may fail there in the same way; otherwise it is about what was asked for.
	Region bool   `json:"region"`
	Text   string `json:"text"` // with all that an operator wants to know
}

const recordName = "record.json"

func (a account) path() string { return filepath.Join(a.folder, recordName) }

// read fails with os.ErrNotExist before anything was begun.
func (a account) read() (record, error) {
	text, err := os.ReadFile(a.path())
	if err != nil {
		return record{}, err
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return record{}, fmt.Errorf("%s: %w", a.path(), err)
	}
	return r, nil
}

// write replaces what was noted, in one step.
func (a account) write(r record) error {
	text, err := json.Marshal(r)
	if err == nil {
		err = os.WriteFile(a.path()+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(a.path()+".new", a.path())
	}
	if err != nil {
		return fmt.Errorf("note what a testbed is made of: %w", err)
	}
	return nil
}

func (a account) forget() error {
	if err := os.Remove(a.path()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
