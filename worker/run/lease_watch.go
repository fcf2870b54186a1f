package run

import (
	"context"
	"errors"
	"path"
	"regexp"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// leaseWatch is what a life has seen of other lives' leases, with the times of its own clock.
type leaseWatch struct {
	worker *Worker
	id     string // of the worker, as in its leases
	seen   map[string]sighting
}

type sighting struct {
	content leaseContent
	since   time.Time
}

// otherLease is a lease as its reader judges it.
type otherLease struct {
	object string
	leaseContent
	over bool // nobody works under it any more
}

func (l *life) newWatch() *leaseWatch {
	return &leaseWatch{worker: l.worker, id: l.state.worker, seen: map[string]sighting{}}
}

// judge says whether somebody still works under a lease.
func (w *leaseWatch) judge(object string, c leaseContent) otherLease {
	before, known := w.seen[object]
	if !known || before.content != c {
		before = sighting{c, time.Now()}
		w.seen[object] = before
	}
	other := otherLease{object: object, leaseContent: c}
	switch {
	case c.Ended:
		other.over = true
	case c.Worker == w.id: // this process knows better, and the one before it is dead
		other.over = !w.worker.keeps(c.Handle)
	default:
		other.over = time.Since(before.since) >= leaseLife
	}
	return other
}

// all reads the leases of an identity but one's own, by the handle in their names.
func (w *leaseWatch) all(ctx context.Context, id identity, own string) (map[string]otherLease, error) {
	leases := map[string]otherLease{}
	for entry, err := range store.Walk(ctx, w.worker.store, leaseContainer, id.hex()+"/", "", "") {
		if errors.Is(err, store.ErrNotFound) {
			break // no container, no lease
		}
		if err != nil {
			return nil, err
		}
		handle := path.Base(entry.Name)
		if handle == own {
			continue
		}
		other, found, err := w.one(ctx, entry.Name)
		if err != nil {
			return nil, err
		}
		if found {
			leases[handle] = other
		}
	}
	return leases, nil
}

// one reads a lease. A listing may be late to show it, and to forget it.
func (w *leaseWatch) one(ctx context.Context, object string) (other otherLease, found bool, err error) {
	content, err := getLease(ctx, w.worker.store, object)
	if errors.Is(err, store.ErrNotFound) {
		return otherLease{}, false, nil
	}
	if err != nil {
		return otherLease{}, false, err
	}
	return w.judge(object, content), true, nil
}

// handlePattern is newID's: what a result says about its life becomes the name of an object.
var handlePattern = regexp.MustCompile(`^[0-9a-zA-Z-]{1,64}$`)

func handleOf(r result.Result) string {
	if !handlePattern.MatchString(r.Handle) {
		return ""
	}
	return r.Handle
}

// keeps reports whether a life of this process still has to do with its lease.
func (w *Worker) keeps(handle string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, kept := w.keeping[handle]
	return kept
}

// keepLease starts the keeper of a life's lease, which outlives the life: what is left to do then is nobody's to wait for.
func (w *Worker) keepLease(l *life) {
	w.mu.Lock()
	w.keeping[l.id] = struct{}{}
	w.mu.Unlock()
	w.keepers.Go(func() {
		l.lease.keep(w.background)
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.keeping, l.id)
	})
}

// stopKeepers lets the keepers finish what the last lives have left to do, within the limit.
func (w *Worker) stopKeepers(stop context.CancelFunc, limit time.Duration) {
	ended := make(chan struct{})
	go func() {
		w.keepers.Wait()
		close(ended)
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
	stop()
	<-ended
}
