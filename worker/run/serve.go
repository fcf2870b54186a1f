package run

import (
	"context"
	"fmt"
	"sync"

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
	defer func() {
		if ctx.Err() == nil || session.Err() != nil { // when we stop, a session is closed in order
			w.leases.SessionLost()
		}
	}()
	defer w.broker.withdraw(session)
	w.show(session)
	defer w.show(nil)
	within, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer stop()
	beside.Go(func() { w.publishRejected(within, session) })
	beside.Go(func() { w.hearOrders(within, session, w) })
	return w.take(ctx, session)
}

// show sets the session that health checks look at.
func (w *Worker) show(session *queue.Session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.consumed = session
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
	PublishMessage(ctx context.Context, exchange, key string, m queue.Message) error
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
