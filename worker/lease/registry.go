package lease

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// Registry is the leases of one worker's lives.
type Registry struct {
	store   store.Store
	worker  string // no other has this name; the same after a restart
	records string // folder of what the next start must know
	log     *slog.Logger

	background context.Context // of the keepers
	stop       context.CancelFunc
	keepers    sync.WaitGroup

	leaving chan struct{} // closed when the worker stops

	mu     sync.Mutex
	lost   chan struct{}       // closed and replaced when a session with the broker is lost
	kept   map[string]struct{} // handles of lives that still have to do with their leases
	before map[string]time.Time
}

// NewRegistry makes the registry of a worker. The records are a folder of its own; log is for what concerns no single life.
func NewRegistry(s store.Store, worker, records string, log *slog.Logger) *Registry {
	r := &Registry{
		store: s, worker: worker, records: records, log: log, kept: map[string]struct{}{}, before: map[string]time.Time{},
		leaving: make(chan struct{}), lost: make(chan struct{}),
	}
	r.background, r.stop = context.WithCancel(context.Background())
	return r
}

// Life is what a lease tells about its life.
type Life struct {
	Handle  string
	Request Identity
	Queue   string
	Package string // outside text, bounded
	Since   time.Time
	Log     *slog.Logger
}

// New makes the lease of a life. Of a request that somebody had before, the lease waits: Take or Claim come before any work.
func (r *Registry) New(l Life, waiting bool) *Lease {
	k := r.lease(l)
	k.content.Waiting = waiting
	return k
}

// Resume makes the lease of a life that the worker before this one has begun. Whether that still has it, Standing finds out.
func (r *Registry) Resume(l Life) *Lease {
	k := r.lease(l)
	k.tried, k.quiet = true, true
	if old, err := readRecord(k.record.path); err == nil && store.CheckObject(Container, old.Object) == nil {
		k.record, k.written = old, old.Written
		k.content.Published = old.Published
	}
	return k
}

func (r *Registry) lease(l Life) *Lease {
	own := l.Request.folder() + l.Handle
	k := &Lease{
		registry: r, log: l.Log, request: l.Request,
		writing: make(chan struct{}, 1), news: make(chan struct{}, 1), quit: make(chan struct{}),
		record:  record{path: r.record(l.Handle), Object: own},
		content: Content{Worker: r.worker, Handle: l.Handle, Queue: l.Queue, Package: l.Package, Since: l.Since.UTC()},
	}
	k.writing <- struct{}{}
	return k
}

func (r *Registry) record(handle string) string { return filepath.Join(r.records, handle) }

// keeps reports whether a life of this process still has to do with its lease.
func (r *Registry) keeps(handle string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, kept := r.kept[handle]
	return kept
}

// Wait waits until every keeper has ended. All lives must be over.
func (r *Registry) Wait() { r.keepers.Wait() }

// SessionLost is told when a session with the broker has ended: what was acknowledged in it just before may come again.
func (r *Registry) SessionLost() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.lost)
	r.lost = make(chan struct{})
}

func (r *Registry) sessionLost() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}

// Close lets the keepers finish what the last lives have left to do, within the limit. It is called once.
func (r *Registry) Close(limit time.Duration) {
	close(r.leaving)
	timer := time.AfterFunc(limit, r.stop)
	defer timer.Stop()
	r.keepers.Wait()
	r.stop()
}

// Background is the context that ends with the registry.
func (r *Registry) Background() context.Context { return r.background }
