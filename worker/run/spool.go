package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// spool keeps finished results on disk until they are stored and announced, so that neither a slot nor the result depends
// on a store that is away. It is a folder with one folder per result, HANDLE, which is whole or absent: it is written as
// HANDLE.new, brought to the disk and renamed, and it is renamed back before it is removed. Whatever is called .new at the
// start was left by a dead worker and is not needed: its request is still with the broker.
type spool struct {
	folder string

	mu      sync.Mutex
	held    map[string]spooled // by handle
	changed chan struct{}      // closed and replaced when a result comes or goes
}

// spooled is what is known of a result in the spool.
type spooled struct {
	since time.Time
	bytes int64
}

const draftSuffix = ".new"

// ErrSpoolFull: no further request is taken until a result has gone to the store, or space has been made.
var ErrSpoolFull = errors.New("the spool is full")

// spoolSpace is what must be free on the spool's file system for a request to be taken: the results of the tests that run
// must find room. What the tests themselves need is checked where they are run.
const spoolSpace = 256 << 20

func newSpool(folder string) *spool {
	return &spool{folder: folder, held: map[string]spooled{}, changed: make(chan struct{})}
}

func (s *spool) path(handle string) string  { return filepath.Join(s.folder, handle) }
func (s *spool) draft(handle string) string { return s.path(handle) + draftSuffix }

// keep brings a result that lies in its draft folder to the disk and enters it. A crash before the rename leaves a draft,
// and the test runs again; a crash after it leaves the result, which the next start stores.
func (s *spool) keep(p *parcel, e spoolEntry) error {
	if _, err := os.Stat(s.path(e.Handle)); err != nil { // it is there if only the last step below has failed before
		if err := e.write(s.draft(e.Handle)); err != nil {
			return err
		}
		if err := os.Rename(s.draft(e.Handle), s.path(e.Handle)); err != nil {
			return fmt.Errorf("enter the result into the spool: %w", err)
		}
	}
	p.folder = s.path(e.Handle)
	s.enter(e.Handle, spooled{time.Now(), p.size()})
	if err := syncPath(s.folder); err != nil {
		return fmt.Errorf("enter the result into the spool: %w", err)
	}
	return nil
}

func (s *spool) enter(handle string, what spooled) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.held[handle]; there {
		return
	}
	s.held[handle] = what
	s.tell()
}

// tell needs the lock.
func (s *spool) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// remove takes a result out that is stored and announced, or can never be. A crash in the middle leaves a draft.
func (s *spool) remove(handle string) error {
	err := os.Rename(s.path(handle), s.draft(handle))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.RemoveAll(s.draft(handle))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.held[handle]; there {
		delete(s.held, handle)
		s.tell()
	}
	if err != nil {
		return fmt.Errorf("remove the result from the spool: %w", err)
	}
	return nil
}

// count is how many results wait in the spool, and since when the oldest of them does.
func (s *spool) count() (results int, oldest time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, what := range s.held {
		if oldest.IsZero() || what.since.Before(oldest) {
			oldest = what.since
		}
	}
	return len(s.held), oldest
}

// bytes is how much the results have that wait in the spool.
func (s *spool) bytes() (sum int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, what := range s.held {
		sum += what.bytes
	}
	return sum
}

// changes returns a channel that is closed when a result comes or goes.
func (s *spool) changes() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// room says why no further request may be taken.
func (s *spool) room(limit int) error {
	if results, oldest := s.count(); results >= limit {
		return fmt.Errorf("%w: %d results wait to be stored, the oldest since %s, and the limit is %d: see why the store does "+
			"not take them, or raise spool_limit", ErrSpoolFull, results, oldest.UTC().Format(time.RFC3339), limit)
	}
	var system syscall.Statfs_t
	if err := syscall.Statfs(s.folder, &system); err != nil {
		return fmt.Errorf("%w: look at the file system of %s: %w", ErrSpoolFull, s.folder, err)
	}
	if free := system.Bavail * uint64(system.Bsize); free < spoolSpace {
		return fmt.Errorf("%w: %s has %d MB free, want %d MB: make space there", ErrSpoolFull, s.folder, free>>20, spoolSpace>>20)
	}
	return nil
}

// syncPath brings a file or a folder to the disk.
func syncPath(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// spooled is how many finished results wait for the store. Their requests are not acknowledged yet, and they hold no slot.
func (w *Worker) spooled() int {
	results, _ := w.spool.count()
	return results
}

// spoolRoom says why no further request may be taken, nil if one may be. It wraps ErrSpoolFull.
func (w *Worker) spoolRoom() error { return w.spool.room(w.spoolLimit()) }

// leastSpool is the smallest default of the spool's limit.
const leastSpool = 16

func (w *Worker) spoolLimit() int {
	if w.settings.SpoolLimit > 0 {
		return w.settings.SpoolLimit
	}
	wanted, _ := w.current()
	return max(2*wanted.slots, leastSpool)
}
