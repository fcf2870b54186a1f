// Package lists knows which packages are to be treated in a way of their own: those that are never run, that need a large
// testbed or a virtual machine, that take long, and the pairs of release and architecture on which nothing can run.
//
// The lists are files that operators change while workers run, usually a git checkout that is pulled every minute. A file
// that is missing or broken changes nothing: the last good one stays in force, and that is said once. The package imports
// nothing else of this project. Start reading at Lists.
package lists

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Kind is one of the lists; its text is the file's name.
type Kind string

// The lists.
const (
	Big   Kind = "big_packages" // a large testbed, twice the time for tests
	Long  Kind = "long_tests"   // four times the time for tests, twice for builds
	Never Kind = "never_run"    // no run
	VM    Kind = "vm_packages"  // a virtual machine instead of a container, where there are some
)

// Kinds lists every list, in the order in which tables show them.
var Kinds = []Kind{Big, Long, Never, VM}

// Target is a package on an architecture of a release.
type Target struct {
	Package      string
	Architecture string
	Release      string
}

// Lists are the lists of a worker. Its methods may be called from several goroutines; each looks whether the files have
// changed since.
type Lists struct {
	fixed map[Kind]List

	mu    sync.Mutex
	files []*file // in the order of Kinds; none without a folder
}

// New makes the lists of a folder, which may be empty for none, together with those that a configuration has as words. It
// fails only if these words are wrong: what is wrong with a file is told in the log and by Versions.
func New(folder string, words map[Kind][]string, log *slog.Logger) (*Lists, error) {
	l := &Lists{fixed: map[Kind]List{}}
	for kind, entries := range words {
		list, err := Parse([]byte(strings.Join(entries, "\n")))
		if err != nil {
			return nil, fmt.Errorf("the list %s: %w", kind, err)
		}
		l.fixed[kind] = list
	}
	if folder == "" {
		return l, nil
	}
	for _, kind := range Kinds {
		l.files = append(l.files, &file{kind: kind, path: filepath.Join(folder, string(kind)), log: log})
	}
	return l, nil
}

// Find returns the first entry of a list that stands for the target.
func (l *Lists) Find(kind Kind, t Target) (Entry, bool) {
	if entry, found := l.fixed[kind].Find(t); found {
		return entry, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.files {
		if f.kind == kind {
			f.refresh()
			return f.list.Find(t)
		}
	}
	return Entry{}, false
}

// Has says whether a list has an entry for the target.
func (l *Lists) Has(kind Kind, t Target) bool {
	_, found := l.Find(kind, t)
	return found
}

// machineArchitectures are those for which there are virtual machines.
var machineArchitectures = map[string]bool{"amd64": true, "amd64v3": true, "s390x": true}

// NeedsMachine says whether the target is to be tested in a virtual machine.
func (l *Lists) NeedsMachine(t Target) bool {
	return machineArchitectures[t.Architecture] && l.Has(VM, t)
}

// Version is the state of one list's file.
type Version struct {
	Kind    Kind
	Path    string
	SHA256  string    // of the content that is in force; empty when none was ever good
	Read    time.Time // when that content was read
	Entries int
	Problem string // why the file as it is now is not in force
}

// Versions tells which version of each file is in force.
func (l *Lists) Versions() []Version {
	l.mu.Lock()
	defer l.mu.Unlock()
	versions := make([]Version, 0, len(l.files))
	for _, f := range l.files {
		f.refresh()
		versions = append(versions, Version{
			Kind: f.kind, Path: f.path, SHA256: f.hash, Read: f.read, Entries: len(f.list.entries), Problem: f.problem,
		})
	}
	return versions
}
