package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/site"
)

// patience makes a collector be back soon after the broker is.
var patience = queue.Patience{First: 250 * time.Millisecond, Longest: 5 * time.Second}

// credentialsLook is how often the broker's credentials are read again. The old ones work on for some time.
const credentialsLook = 15 * time.Second

// subscription listens to one exchange, with a session of its own, so that one kind of message never waits for the other.
type subscription struct {
	listener    queue.Listener
	parallel    int // how many messages are handled at the same time
	handle      func(ctx context.Context, d queue.Delivery) error
	credentials string // path
	log         *slog.Logger

	mu      sync.Mutex
	session *queue.Session // nil while there is none that listens
	reason  error          // why
}

// run listens until the context ends, whatever becomes of the broker.
func (s *subscription) run(ctx context.Context) {
	queue.Keep(ctx, s.log, patience, s.dial, s.use)
	s.set(nil, nil)
}

func (s *subscription) dial(ctx context.Context) (*queue.Session, error) {
	// Read each time, and while connected: the credentials may have been changed since.
	account := func() (config.Broker, error) { return config.ReadBroker(s.credentials) }
	broker, err := account()
	if err != nil {
		s.set(nil, err)
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	name := fmt.Sprintf("autopkgtest-collector %s %d (%s)", host, os.Getpid(), s.listener.Queue)
	session, err := queue.Dial(ctx, broker, queue.WithLog(s.log), queue.WithName(name), queue.WithFollow(credentialsLook, account))
	if err != nil {
		s.set(nil, err)
	}
	return session, err
}

// use listens for as long as a session lives.
func (s *subscription) use(ctx context.Context, session *queue.Session) error {
	deliveries, err := s.subscribe(ctx, session)
	if err != nil {
		s.set(nil, err)
		return err
	}
	s.set(session, nil)
	var handlers sync.WaitGroup
	for range s.parallel {
		handlers.Go(func() {
			for delivery := range deliveries {
				s.settle(ctx, delivery)
			}
		})
	}
	handlers.Wait()
	s.set(nil, errors.Join(site.ErrNoBroker, session.Err()))
	return nil
}

// subscribe declares all that is needed. What exists stays as it is.
func (s *subscription) subscribe(ctx context.Context, session *queue.Session) (<-chan queue.Delivery, error) {
	if err := session.DeclareExchanges(ctx); err != nil {
		return nil, err
	}
	if err := session.DeclareListener(ctx, s.listener); err != nil {
		return nil, err
	}
	return session.Consume(ctx, []string{s.listener.Queue}, 4*s.parallel)
}

// settle handles a message and takes it off the queue. A message is a hint or news, never the only copy of anything, so one
// that cannot be handled is not handled again.
func (s *subscription) settle(ctx context.Context, delivery queue.Delivery) {
	if err := s.handle(ctx, delivery); err != nil && ctx.Err() == nil {
		s.log.Warn("a message was passed over", "queue", delivery.QueueName, "error", err)
	}
	if ctx.Err() != nil {
		return // it comes again
	}
	if err := delivery.Ack(); err != nil && ctx.Err() == nil {
		s.log.Debug("a message could not be acknowledged and comes again", "queue", delivery.QueueName, "error", err)
	}
}

func (s *subscription) set(session *queue.Session, reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session, s.reason = session, reason
}

// state is nil while it listens, and otherwise why it does not.
func (s *subscription) state() error {
	session, err := s.current()
	if session != nil {
		return nil
	}
	return err
}

// current is the session that listens, or why there is none.
func (s *subscription) current() (*queue.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil {
		return nil, errors.Join(site.ErrNoBroker, s.reason)
	}
	return s.session, nil
}
