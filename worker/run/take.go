package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// How requests are taken. A worker with free places and nothing to do lets the broker push: what is requested starts at
// once. A push comes from whichever queue is first, though, and a worker that is busy has a choice: when a place becomes
// free, it asks the queues in the chooser's order and takes the first request that there is. Only when none of them has
// one does it listen again. Nothing is asked regularly, and nothing is taken without a place.

// source is what taking needs of a session. queue.Session is one.
type source interface {
	Get(ctx context.Context, queue string) (queue.Delivery, bool, error)
	Listen(ctx context.Context, queues []string, room int, ready func(queue string) error) (*queue.Listening, error)
	Epoch() uint64
}

// take takes requests through one session until it ends.
func (w *Worker) take(ctx context.Context, session source) error {
	back := newReturns()
	for ctx.Err() == nil {
		wanted, changed := w.current()
		t := taking{worker: w, session: session, queues: wanted.queues, chooser: newChooser(wanted.queues, w.weights()), back: back}
		if err := t.run(ctx, changed); err != nil {
			return err
		}
		select {
		case <-w.drain:
			return t.drained(ctx)
		default:
		}
	}
	return nil // Keep tells why
}

func (w *Worker) weights() map[string]int {
	if w.settings.Weights == nil {
		return config.DefaultWeights
	}
	return w.settings.Weights
}

// taking is the taking with one configuration.
type taking struct {
	worker  *Worker
	session source
	queues  []request.Queue
	chooser *chooser
	back    *returns
}

// run takes until the configuration has changed, the worker drains or the context ends.
func (t *taking) run(ctx context.Context, changed <-chan struct{}) error {
	for {
		places := t.worker.places.changes()
		select {
		case <-changed:
			return nil
		case <-t.worker.drain:
			return nil
		case <-ctx.Done():
			return nil
		case <-t.back.due():
			if err := t.reclaim(ctx); err != nil {
				return err
			}
			continue
		default:
		}
		if t.worker.places.reserve(1) == 0 {
			select {
			case <-places:
			case <-changed:
			case <-t.worker.drain:
			case <-ctx.Done():
			case <-t.back.due():
				if err := t.reclaim(ctx); err != nil {
					return err
				}
			}
			continue
		}
		found, err := t.ask(ctx)
		if err != nil {
			return err
		}
		if found {
			continue
		}
		if err := t.listen(ctx, changed); err != nil {
			return err
		}
	}
}

// ask uses one reserved place for the first request that the queues have, in the chooser's order. Without one the place
// is still reserved.
func (t *taking) ask(ctx context.Context) (found bool, err error) {
	var empty []request.Queue
	for _, q := range t.chooser.order() {
		if t.worker.ready(q.Name()) != nil {
			empty = append(empty, q)
			continue
		}
		delivery, found, err := t.session.Get(ctx, q.Name())
		switch {
		case errors.Is(err, queue.ErrNoQueue):
		case err != nil:
			t.worker.places.free(1)
			return false, err
		case found:
			t.chooser.took(q, empty)
			t.pass(ctx, delivery, true)
			return true, nil
		}
		empty = append(empty, q)
	}
	return false, nil
}

// every is more places than there are.
const every = 1 << 30

// listen lets the broker push, until the places are used up or something changes. One place is reserved already.
func (t *taking) listen(ctx context.Context, changed <-chan struct{}) error {
	room := 1
	defer func() { t.worker.places.free(room) }()
	room += t.worker.places.reserve(every)
	listening, stop := context.WithCancel(ctx)
	defer stop()
	names := make([]string, len(t.queues))
	for i, q := range t.queues {
		names[i] = q.Name()
	}
	l, err := t.session.Listen(listening, names, room, t.worker.ready)
	if err != nil {
		return err
	}
	drain := t.worker.drain
	t.worker.log.Debug("waiting for requests", "queues", len(names), "room", room, "session", t.session.Epoch())
	for {
		places := t.worker.places.changes()
		if more := t.worker.places.reserve(every); more > 0 {
			allowed, err := l.Allow(ctx, more)
			if !allowed {
				t.worker.places.free(more)
			} else {
				room += more
			}
			if err != nil {
				return err
			}
		}
		select {
		case delivery, open := <-l.Deliveries():
			if !open {
				return nil
			}
			room--
			t.pass(ctx, delivery, true)
		case <-places:
		case <-t.back.due():
			if err := t.reclaim(ctx); err != nil {
				return err
			}
		case <-changed:
			stop()
			changed = nil
		case <-drain:
			stop()
			drain = nil
		}
	}
}

// drained keeps the session for those who still need it: it is lent until the last life has ended.
func (t *taking) drained(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.back.due():
			if err := t.reclaim(ctx); err != nil {
				return err
			}
		}
	}
}

// pass hands a delivery to the dispatcher. When the context ends first, the session does too, and with it the delivery.
func (t *taking) pass(ctx context.Context, d queue.Delivery, place bool) {
	select {
	case t.worker.incoming <- Delivery{Message: d, Queue: d.Queue, Body: d.Body, Redelivered: d.Redelivered, place: place}:
	case <-ctx.Done():
		if place {
			t.worker.places.free(1)
		}
	}
}

// reclaim asks for the messages of requests that are in work here and that the broker took back with an earlier session:
// whoever else gets them can only wait for us. As many are asked for as are missing, so no more are held than before. One
// that turns out to be another request waits for a place.
func (t *taking) reclaim(ctx context.Context) error {
	for q, missing := range t.worker.ledger.lost() {
		for range missing {
			delivery, found, err := t.session.Get(ctx, q.Name())
			if err != nil && !errors.Is(err, queue.ErrNoQueue) {
				return fmt.Errorf("ask for requests that came back: %w", err)
			}
			if !found {
				break
			}
			t.pass(ctx, delivery, false)
		}
	}
	t.back.next(len(t.worker.ledger.lost()) > 0)
	return nil
}

// returns says when to look for messages that the broker took back: at the beginning of a session, and then, if some are
// missing, a few times more. A broker that has lost sight of a connection keeps its messages until it is sure of that.
type returns struct {
	timer *time.Timer
	pause time.Duration
}

const (
	firstReturn   = 2 * time.Second
	longestReturn = time.Minute
)

func newReturns() *returns { return &returns{timer: time.NewTimer(0), pause: firstReturn} }

func (r *returns) due() <-chan time.Time { return r.timer.C }

func (r *returns) next(missing bool) {
	if missing {
		r.timer.Reset(r.pause)
		r.pause = min(2*r.pause, longestReturn)
	}
}
