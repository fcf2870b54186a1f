package run

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errStopping is why lives are cancelled.
var errStopping = errors.New("the worker stops and gives its requests back")

// dispatch begins a life for each delivery as slots become free and the spool has room, until the worker is drained or the
// context ends. Results that the spool holds from before are stored beside them, without a slot. It returns when the last
// life has ended.
func (w *Worker) dispatch(ctx context.Context, state *state) {
	lifetime, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	var lives sync.WaitGroup
	defer lives.Wait()

	var (
		waiting  []Delivery
		busy     int // slots
		alive    int // lives, also those whose results wait in the spool
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
	for _, l := range w.revive(state) {
		begin(l)
	}
	wanted, changed := w.current()
	for {
		var again <-chan time.Time
		for len(waiting) > 0 && busy < wanted.slots {
			if w.spoolRoom() != nil {
				again = time.After(roomInterval)
				break
			}
			next := waiting[0]
			waiting = waiting[1:]
			if next.Stale() {
				continue // the broker has given it to somebody else by now, or gives it to us again
			}
			busy++
			l := w.newLife(next, state)
			l.freed = func() { freed <- struct{}{} }
			begin(l)
		}
		if drain == nil && alive == 0 {
			return
		}
		select {
		case delivery := <-w.incoming:
			switch {
			case w.ledger.claim(delivery):
				w.log.Info("a request came back to the run that already has it", delivery.attributes()...)
			case drain == nil:
				w.giveBack(delivery)
			default:
				waiting = append(waiting, delivery)
			}
		case <-freed:
			busy--
		case <-finished:
			alive--
		case <-again:
		case <-changed:
			wanted, changed = w.current()
		case <-drain:
			w.log.Info("draining: no new test begins", "running", busy, "spooled", w.spooled(), "given_back", len(waiting), "timeout", w.settings.DrainTimeout)
			drain = nil
			for _, delivery := range waiting {
				w.giveBack(delivery)
			}
			waiting = nil
			timer := time.NewTimer(w.settings.DrainTimeout)
			defer timer.Stop()
			deadline = timer.C
		case <-deadline:
			w.log.Warn("drain timeout: killing the tests that still run", "running", busy)
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
