package run

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lease"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// spool brings the result to this machine's disk, and gives the slot to the next request. From here on the life needs a
// store and a broker only, and it survives the process: whatever a crash leaves after this state is taken up by the next
// start. A crash before it leaves a draft and the run's folder, which that start removes; the test runs again.
func (l *life) spool(ctx context.Context) State {
	done := l.persist(ctx, "spooling the result", never, func(context.Context) error {
		return l.worker.spool.keep(&l.parcel, l.spoolEntry())
	})
	if !done {
		return Handback
	}
	l.spooled.Store(true)
	l.since = time.Now()
	l.freeSlot()
	l.clear(ctx)
	return Store
}

// freeSlot lets the next request begin. It may be called any number of times.
func (l *life) freeSlot() {
	l.freeOnce.Do(func() {
		l.seated.Store(false)
		if l.freed != nil {
			l.freed()
		}
	})
}

// unspool takes the result out: it is stored and announced, or can never be. A crash between the announcement and this
// stores nothing twice: the next start finds the result in the store, and announces it once more.
func (l *life) unspool() {
	if !l.spooled.Load() {
		return
	}
	if err := l.worker.spool.remove(l.id); err != nil {
		l.log.Error("the result is left in the spool; the next start of the worker finds it done", "error", err)
	}
	l.spooled.Store(false)
}

// shelve leaves the result in the spool, because the worker must stop. The next start goes on with it. The request goes
// back: if there will be no next start, somebody else has to run it, and if there is one, it finds out.
func (l *life) shelve(context.Context) State {
	if l.publication.seen {
		l.lease.End(lease.Ended) // whoever gets the request can take the result at once
	}
	l.lease.End(lease.Kept)
	if err := l.entry.drop().Requeue(); err != nil && !isStale(err) {
		l.log.Error("the request was not given back; the end of the session gives it back", "error", err)
	}
	l.log.Info("the result stays in the spool for the next start of the worker", "exitcode", l.result.ExitCode)
	return End
}

// lostMessage is the one of a request whose result was found in the spool: the broker has taken it back. It will be
// replaced when it comes again, see ledger.
type lostMessage struct{}

func (lostMessage) settle() error {
	return fmt.Errorf("settle a request from before the worker was started: %w", queue.ErrStale)
}
func (m lostMessage) Ack() error     { return m.settle() }
func (m lostMessage) Requeue() error { return m.settle() }
func (lostMessage) Stale() bool      { return true }

// revive begins a life, at the state Store, for each result that the spool has kept from a worker before this one. What
// was not finished is removed; so is what the disk has damaged, whose request the broker delivers again.
func (w *Worker) revive(s *state) []*life {
	found, err := os.ReadDir(w.spool.folder)
	if err != nil {
		w.log.Error("the spool cannot be read; results in it are stored when it can", "error", err)
		return nil
	}
	var lives []*life
	for _, entry := range found {
		folder := filepath.Join(w.spool.folder, entry.Name())
		if strings.HasSuffix(entry.Name(), draftSuffix) {
			if err := os.RemoveAll(folder); err != nil {
				w.log.Error("an unfinished result of a dead worker is left behind", "folder", folder, "error", err)
			}
			continue
		}
		r, err := readSpooled(folder)
		if err != nil {
			w.log.Error("a result in the spool cannot be used; its request will come again and be run again", "run", entry.Name(),
				"folder", folder, "error", err)
			if err := w.spool.remove(entry.Name()); err != nil {
				w.log.Error("a damaged result is left behind", "run", entry.Name(), "folder", folder, "error", err)
			}
			continue
		}
		lives = append(lives, w.reviveLife(r, s))
	}
	slices.SortFunc(lives, func(a, b *life) int { return a.began.Compare(b.began) })
	if len(lives) > 0 {
		w.log.Info("results of the worker before this one wait in the spool", "results", len(lives))
	}
	return lives
}

func (w *Worker) reviveLife(r spooledResult, s *state) *life {
	d := Delivery{Message: lostMessage{}, Queue: r.queue, Body: r.body, Redelivered: true}
	l := w.newLifeOf(r.handle, d, s)
	l.began, l.first = r.began, Store
	l.lease = w.leases.Resume(l.leased())
	l.watch = l.lease.Watch()
	l.request, l.result, l.parcel = r.request, r.result, r.parcel
	l.publication.resume(result.Location{
		Container: r.parcel.container, Release: r.queue.Release, Architecture: r.queue.Architecture, Package: r.request.Package,
	}, r.runIDs, r.settled)
	l.spooled.Store(true)
	w.spool.enter(l.id, spooled{r.began, r.parcel.size()})
	return l
}
