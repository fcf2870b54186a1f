package run

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// errStopping is why lives are cancelled.
var errStopping = errors.New("the worker stops and gives its requests back")

// dispatch begins a life for each delivery, until the worker is drained or the context ends. A delivery comes with a place
// that was reserved for it; one without waits until there is one. Results that the spool holds from before are stored
// beside them, without a place. It returns when the last life has ended.
func (w *Worker) dispatch(ctx context.Context, state *state) {
	lifetime, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	var lives sync.WaitGroup
	defer lives.Wait()

	var (
		waiting  []Delivery // without a place
		alive    int        // lives, also those whose results wait in the spool
		freed    = make(chan struct{})
		finished = make(chan struct{})
		drain    = w.drain
		stop     = ctx.Done()
		deadline <-chan time.Time
	)
	begin := func(l *life) {
		alive++
		lives.Go(func() {
			defer func() { finished <- struct{}{} }()
			l.live(lifetime)
		})
	}
	seated := func(d Delivery) {
		l := w.newLife(d, state)
		l.freed = func() { freed <- struct{}{} }
		l.seated.Store(true)
		w.settings.Observer.Taken(d.Queue)
		begin(l)
	}
	for _, l := range w.revive(state) {
		begin(l)
	}
	wanted, changed := w.current()
	for {
		var again <-chan time.Time
		full := w.spoolRoom() != nil
		if full {
			again = time.After(roomInterval)
		}
		// The broker has given a stale one to somebody else by now, or gives it to us again.
		waiting = slices.DeleteFunc(waiting, Delivery.Stale)
		w.places.set(wanted.slots, len(waiting), full || drain == nil)
		for len(waiting) > 0 && w.places.seat() {
			seated(waiting[0])
			waiting = waiting[1:]
			w.places.set(wanted.slots, len(waiting), full || drain == nil)
		}
		if drain == nil && alive == 0 {
			return
		}
		select {
		case delivery := <-w.incoming:
			handle, claimed := w.ledger.claim(delivery)
			switch {
			case claimed:
				w.log.Info("a request came back to the run that already has it", append(delivery.attributes(), "run", handle)...)
			case drain == nil:
				w.giveBack(delivery)
			case delivery.place:
				seated(delivery)
				continue
			default:
				waiting = append(waiting, delivery)
			}
			if delivery.place {
				w.places.free(1)
			}
		case <-freed:
			w.places.free(1)
		case <-w.spool.changes():
		case <-finished:
			alive--
		case <-again:
		case <-w.pulse:
		case <-changed:
			wanted, changed = w.current()
		case <-drain:
			w.log.Info("draining: no new test begins", "running", alive-w.spooled(), "spooled", w.spooled(),
				"given_back", len(waiting), "timeout", w.settings.DrainTimeout)
			drain = nil
			for _, delivery := range waiting {
				w.giveBack(delivery)
			}
			waiting = nil
			timer := time.NewTimer(w.settings.DrainTimeout)
			defer timer.Stop()
			deadline = timer.C
		case <-deadline:
			w.log.Warn("drain timeout: killing the tests that still run", "running", alive-w.spooled())
			cancel(errStopping)
		case <-stop:
			stop = nil
			w.Drain()
			cancel(errStopping)
		}
	}
}

// roomInterval is how often a worker with a full spool or a full disk looks whether there is room again.
const roomInterval = 5 * time.Second

// giveBack returns a request to its queue before anything was done with it.
func (w *Worker) giveBack(d Delivery) {
	if err := d.Requeue(); err != nil && !d.Stale() {
		w.log.Error("a request cannot be given back; ending the session gives it back", append(d.attributes(), "error", err)...)
	}
}
