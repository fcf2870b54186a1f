package run

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// serve works with one session until it ends: it lends it to those who publish, and passes its deliveries on.
func (w *Worker) serve(ctx context.Context, session *queue.Session) error {
	if err := session.DeclareExchanges(ctx); err != nil {
		return err
	}
	w.broker.lend(session)
	defer w.broker.withdraw(session)
	w.show(session)
	defer w.show(nil)
	for {
		wanted, changed := w.current()
		select {
		case <-w.drain:
			<-ctx.Done() // lent until the last life has ended
			return nil
		default:
		}
		if err := w.spoolRoom(); err != nil {
			w.log.Warn("no request is taken until there is room", "error", err)
			w.awaitRoom(ctx)
			continue
		}
		if err := w.consume(ctx, session, wanted, changed); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil // Keep tells why
		}
	}
}

// show sets the session that health checks look at.
func (w *Worker) show(session *queue.Session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.consumed = session
}

// awaitRoom waits until the spool has room, or until there is nothing to wait for.
func (w *Worker) awaitRoom(ctx context.Context) {
	for {
		changes := w.spool.changes()
		if w.spoolRoom() == nil {
			return
		}
		timer := time.NewTimer(roomInterval)
		select {
		case <-changes:
		case <-timer.C:
		case <-w.drain:
			timer.Stop()
			return
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// held is how many deliveries of a session lie unsettled although their tests have ended: their results are in the spool.
func (w *Worker) held() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	count := 0
	for l := range w.lives {
		if message, _ := l.entry.current(); l.spooled.Load() && !message.Stale() {
			count++
		}
	}
	return count
}

// settle waits for the end of a flurry of changes: an upload that takes less than this is not worth a call to the broker.
const settle = time.Second

// adapt lets the broker push a further request for each result that lies in the spool, and ends when the consuming has to
// begin anew, or to stop.
func (w *Worker) adapt(ctx context.Context, session *queue.Session, prefetch int, wanted wanted, changed <-chan struct{}) error {
	for {
		changes := w.spool.changes()
		timer := time.NewTimer(roomInterval)
		select {
		case <-changes:
			sleep(ctx, settle)
		case <-timer.C:
		case <-changed:
			return nil
		case <-w.drain:
			return nil
		case <-ctx.Done():
			return nil
		}
		timer.Stop()
		if w.spoolRoom() != nil {
			return nil
		}
		if now := wanted.slots + w.held(); now != prefetch && ctx.Err() == nil {
			if err := session.SetPrefetch(ctx, now); err != nil {
				return err
			}
			prefetch = now
		}
	}
}

// consume passes deliveries on until something changes.
func (w *Worker) consume(ctx context.Context, session *queue.Session, wanted wanted, changed <-chan struct{}) error {
	consuming, stop := context.WithCancel(ctx)
	defer stop()
	names := make([]string, len(wanted.queues))
	for i, q := range wanted.queues {
		names[i] = q.Name()
	}
	prefetch := wanted.slots + w.held()
	deliveries, err := session.ConsumeWhen(consuming, names, prefetch, w.ready)
	if err != nil {
		return err
	}
	w.log.Info("waiting for requests", "queues", len(names), "not_yet", len(session.Waiting()), "slots", wanted.slots,
		"session", session.Epoch())
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop()
	watching.Go(func() {
		defer stop()
		if err := w.adapt(consuming, session, prefetch, wanted, changed); err != nil && consuming.Err() == nil {
			w.log.Warn("the number of requests that the broker may push cannot be changed", "error", err)
		}
	})
	for d := range deliveries {
		select {
		case w.incoming <- Delivery{Message: d, Queue: d.Queue, Body: d.Body, Redelivered: d.Redelivered}:
		case <-ctx.Done():
			return nil // Keep closes the session, and with it goes what was not passed on
		}
	}
	return nil
}

// ready reports why tests of a queue cannot be run now.
func (w *Worker) ready(name string) error {
	q, err := request.ParseQueue(name)
	if err != nil {
		return err
	}
	return w.testbeds.Ready(q)
}

// image is the path of the testbed image for a queue.
func (w *Worker) image(q request.Queue) string { return testbed.ImagePath(w.settings.Images, q) }

// session is what a life needs of the broker.
type session interface {
	Publish(ctx context.Context, exchange, key string, body []byte, persistent bool) error
	DeclareExchanges(ctx context.Context) error
}

// lender has the session of the moment for those who publish. They outlive sessions.
type lender struct {
	mu      sync.Mutex
	session session       // nil between sessions
	changed chan struct{} // closed and replaced when there is one
}

func newLender() *lender { return &lender{changed: make(chan struct{})} }

func (b *lender) lend(s session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.session = s
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *lender) withdraw(s session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session == s {
		b.session = nil
	}
}

// now returns the session of the moment, nil when there is none.
func (b *lender) now() session {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.session
}

// get waits for a session.
func (b *lender) get(ctx context.Context) (session, error) {
	for {
		b.mu.Lock()
		s, changed := b.session, b.changed
		b.mu.Unlock()
		if s != nil {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for a session with the broker: %w", context.Cause(ctx))
		}
	}
}
