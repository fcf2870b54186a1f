// Package queue is the worker's side of the broker: sessions, deliveries that are settled exactly once and only where
// they came from, publishing with confirms, and the two messages that tell the world about runs (Status, Completion).
//
// It exists because the AMQP library alone loses requests: its calls wait for ever when the network is gone, and after
// its automatic recovery a late acknowledgement settles somebody else's message. So recovery is off. A Session is one
// connection with its channels and an epoch; when any of them breaks, the whole session ends, its deliveries answer
// ErrStale, and Keep dials the next one. What a request means (package request) and what is done with it (package run)
// is not known here.
//
// Start reading at Session; Keep shows how one is used over time.
package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// epochs numbers the sessions of this process.
var epochs atomic.Uint64

// Session is one life of the connection to the broker. It is safe for use by many goroutines.
//
// Two TCP connections carry it: deliveries and their settling use the main one, publishing has its own, opened when
// something is first published and again when it broke. A broker that is short of memory or disk stops reading from
// connections that publish; an acknowledgement must not stand in that line.
//
// No method waits for ever: where the context sets no earlier end, an answer that takes longer than the session's limit
// (30 s) closes the connection under the call.
type Session struct {
	epoch   uint64
	options options
	user    string // that we are logged in as
	main    *link
	probe   *probe
	out     *publisher

	ended   chan struct{} // closed by end
	done    chan error    // what Done returns
	endOnce sync.Once
	err     error // why it ended; written before ended is closed

	mu     sync.Mutex
	pushed *consumerChannel // nil until the first Consume or Listen
	asked  *consumerChannel // nil until the first Get
	active *consumption     // nil while nothing is consumed
	tasks  sync.WaitGroup
}

type options struct {
	log     *slog.Logger
	name    string        // shown by the broker's management page
	limit   time.Duration // the longest wait for any answer of the broker
	recheck time.Duration // how often a queue that cannot be consumed yet is looked at again
	follow  func() (config.Broker, error)
	look    time.Duration // how often follow is asked
}

// Option changes how a session behaves.
type Option func(*options)

// WithLog sets where a session reports what nobody asked for: a queue that is missing, one that appeared.
func WithLog(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// WithName sets the name that the broker's management page shows for the connections.
func WithName(name string) Option { return func(o *options) { o.name = name } }

// WithLimit sets the longest wait for an answer of the broker, 30 s unless told.
func WithLimit(limit time.Duration) Option { return func(o *options) { o.limit = limit } }

// WithRecheck sets how often a queue that is missing or not ready is looked at again, 5 s unless told.
func WithRecheck(interval time.Duration) Option { return func(o *options) { o.recheck = interval } }

// WithFollow ends the session with ErrRenewed when the account is no longer the one that current tells, so that the next session
// is opened with the new one: while both work, not when the old one is taken away. It is asked once in a while.
func WithFollow(every time.Duration, current func() (config.Broker, error)) Option {
	return func(o *options) { o.follow, o.look = current, every }
}

// Dial opens a session. It fails with ErrUnreachable when nobody answers in time and ErrRefused when the broker does not
// accept the credentials or the virtual host. Of a broker with several addresses it is with the first that takes us: a session is
// with one node, and ends with it.
func Dial(ctx context.Context, broker config.Broker, with ...Option) (*Session, error) {
	o := options{log: slog.Default(), name: "autopkgtest-cloud", limit: 30 * time.Second, recheck: 5 * time.Second}
	for _, option := range with {
		option(&o)
	}
	main, at, err := dialAny(ctx, broker, o.name, o.limit)
	if err != nil {
		return nil, err
	}
	s := &Session{
		epoch:   epochs.Add(1),
		options: o,
		user:    broker.Username,
		main:    main,
		probe:   &probe{link: main},
		ended:   make(chan struct{}),
		done:    make(chan error, 1),
	}
	s.out = newPublisher(o.limit, func(ctx context.Context) (*link, error) {
		return dialLink(ctx, at, o.name+" (publisher)", o.limit)
	})
	s.tasks.Add(1)
	go func() {
		defer s.tasks.Done()
		<-main.done
		s.end(main.reason())
	}()
	if o.follow != nil {
		s.tasks.Add(1)
		go func() {
			defer s.tasks.Done()
			s.followAccount(broker)
		}()
	}
	return s, nil
}

// followAccount ends the session when there is another account. A file that cannot be read now changes nothing: who is connected
// stays so.
func (s *Session) followAccount(used config.Broker) {
	ticker := time.NewTicker(s.options.look)
	defer ticker.Stop()
	for {
		select {
		case <-s.ended:
			return
		case <-ticker.C:
		}
		if current, err := s.options.follow(); err == nil && current != used {
			s.end(fmt.Errorf("%w: user %s instead of %s", ErrRenewed, current.Username, used.Username))
			return
		}
	}
}

// Epoch numbers the sessions of this process in the order of their making.
func (s *Session) Epoch() uint64 { return s.epoch }

// Done returns a channel that yields why the session ended, and then is closed. Only one reader gets the reason; Err
// tells it to everybody.
func (s *Session) Done() <-chan error { return s.done }

// Err returns why the session ended, and nil while it lives or when it was ended by Close.
func (s *Session) Err() error {
	select {
	case <-s.ended:
		return s.err
	default:
		return nil
	}
}

// alive reports whether the session has not ended.
func (s *Session) alive() bool {
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// end makes every delivery of the session stale. With a reason it drops the connection as well: the broker then gives the
// unsettled deliveries to the next consumer at once. Without one, Close is about to part from the broker in order.
func (s *Session) end(reason error) {
	s.endOnce.Do(func() {
		s.err = reason
		close(s.ended)
		if reason != nil {
			s.done <- reason
			s.main.sever()
		}
		close(s.done)
	})
}

// Close ends the session and waits for everything that it started. What was delivered and not settled goes back to its
// queue.
func (s *Session) Close() error {
	s.end(nil)
	err := s.main.close()
	s.out.close()
	s.tasks.Wait()
	s.main.wait()
	return err
}

// Depth returns how many messages of a queue wait and how many consumers it has, without touching a message. It fails
// with ErrNoQueue when there is no such queue.
func (s *Session) Depth(ctx context.Context, queue string) (ready, consumers int, err error) {
	found, err := s.probe.inspect(ctx, queue)
	if err != nil {
		return 0, 0, fmt.Errorf("ask for the depth of queue %s: %w", queue, err)
	}
	return found.Messages, found.Consumers, nil
}

// Publish sends a message and returns when the broker has confirmed it: stored on disk for a persistent message in a
// durable queue. The exchange "" is the default one, whose key is the name of a queue: no such queue is ErrNoQueue. An
// exchange that nobody listens to swallows the message without an error, as its contract is.
//
// ErrRefused: the user may not write there. ErrUnconfirmed: nobody knows whether the message arrived, so publishing it
// again may double it. Any number of goroutines may publish; a bounded number of messages is under way at any time.
func (s *Session) Publish(ctx context.Context, exchange, key string, body []byte, persistent bool) error {
	return s.PublishMessage(ctx, exchange, key, Message{Body: body, Persistent: persistent})
}

func (s *Session) endedError() error {
	if err := s.Err(); err != nil {
		return fmt.Errorf("%w: the session has ended: %w", ErrUnreachable, err)
	}
	return fmt.Errorf("%w: the session was closed", ErrUnreachable)
}

func destination(exchange, key string) string {
	if exchange == "" {
		return "queue " + key
	}
	return "exchange " + exchange
}

// errCause returns the cause of an ended context, as plain text for people.
func errCause(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return errors.New("the context has not ended")
}
