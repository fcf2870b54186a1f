package queue

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// heartbeat is asked of the broker: a peer that is silent for about three of them is dead. A test host under load misses
// a beat; half a minute of silence from a broker on the same site is a fault.
const heartbeat = 10 * time.Second

// link is one TCP connection to the broker with the library's connection on it. The socket is ours: closing it is the
// only thing that ends a call of the library which waits for an answer or for room to write.
type link struct {
	limit  time.Duration
	tcp    net.Conn
	amqp   *amqp.Connection
	done   chan struct{} // closed when the connection is gone
	silent atomic.Bool   // we cut it, because an answer took too long
	calls  sync.WaitGroup

	mu      sync.Mutex
	err     error         // why it is gone, if the broker or the network said so
	blocked chan struct{} // nil unless the broker takes no messages; closed when it takes them again
	alarm   string        // the broker's reason for that
	left    bool          // no call may start any more
}

// dialAny tries one address after the other, all of them within the limit, and says which it was.
func dialAny(ctx context.Context, broker config.Broker, name string, limit time.Duration) (*link, config.Broker, error) {
	all := broker.Each()
	ends := time.Now().Add(limit)
	var failures []error
	for i, at := range all {
		// What an address leaves over is for those that follow.
		l, err := dialLimited(ctx, at, name, limit, time.Until(ends)/time.Duration(len(all)-i))
		if err == nil {
			return l, at, nil
		}
		failures = append(failures, err)
		if ctx.Err() != nil {
			break
		}
	}
	if len(failures) == 1 {
		return nil, config.Broker{}, failures[0]
	}
	return nil, config.Broker{}, errors.Join(failures...)
}

// dialLink is dialLimited with the same limit for the connecting and for what follows.
func dialLink(ctx context.Context, broker config.Broker, name string, limit time.Duration) (*link, error) {
	return dialLimited(ctx, broker, name, limit, limit)
}

// dialLimited connects and logs in. No URI is ever built: a password may hold any character.
func dialLimited(ctx context.Context, broker config.Broker, name string, limit, connecting time.Duration) (*link, error) {
	address := broker.Address()
	failed := func(err error) error {
		return fmt.Errorf("connect to the broker at %s as user %s: %w", address, broker.Username, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, connecting, fmt.Errorf("no answer within %s", connecting.Round(time.Millisecond)))
	defer cancel()
	stream, err := broker.Connect(ctx)
	if err != nil {
		return nil, failed(fmt.Errorf("%w: %w", ErrUnreachable, err))
	}
	tcp := socket(stream)
	stop := context.AfterFunc(ctx, func() { _ = tcp.Close() })
	defer stop()
	connection, err := amqp.Open(stream, amqp.Config{
		SASL:       []amqp.Authentication{&amqp.PlainAuth{Username: broker.Username, Password: broker.Password.Reveal()}},
		Vhost:      vhost(broker),
		Heartbeat:  heartbeat,
		Locale:     "en_US",
		Properties: amqp.Table{"product": "autopkgtest-cloud", "connection_name": name},
	})
	if err != nil {
		_ = tcp.Close() // ends the library's reader, too
		if ctx.Err() != nil {
			// The library takes any end of the login for bad credentials, also ours.
			return nil, failed(fmt.Errorf("%w: %w", ErrUnreachable, errCause(ctx)))
		}
		return nil, failed(categorise(err))
	}
	l := &link{limit: limit, tcp: tcp, amqp: connection, done: make(chan struct{})}
	// Made before anything else, with room: a notice that nobody takes would stall the connection's reader.
	closes := connection.NotifyClose(make(chan *amqp.Error, 1))
	blocks := connection.NotifyBlocked(make(chan amqp.Blocking, 16))
	l.calls.Add(1)
	go func() {
		defer l.calls.Done()
		l.watch(closes, blocks)
	}()
	if !stop() {
		l.sever() // the context ended while the login succeeded
		l.wait()
		return nil, failed(fmt.Errorf("%w: %w", ErrUnreachable, errCause(ctx)))
	}
	return l, nil
}

// socket is what carries a stream. To close a stream of TLS takes a last word to the peer, for which there may be no room.
func socket(stream net.Conn) net.Conn {
	if secure, ok := stream.(*tls.Conn); ok {
		return secure.NetConn()
	}
	return stream
}

func vhost(broker config.Broker) string {
	if broker.VHost == "" {
		return "/"
	}
	return broker.VHost
}

// watch notes what the library tells about the connection until it is gone. The library closes both channels then.
func (l *link) watch(closes <-chan *amqp.Error, blocks <-chan amqp.Blocking) {
	defer close(l.done)
	defer l.unblock()
	for {
		select {
		case reason, open := <-closes:
			if !open {
				return
			}
			l.mu.Lock()
			l.err = reason
			l.mu.Unlock()
		case notice, open := <-blocks:
			switch {
			case !open:
				blocks = nil
			case notice.Active:
				l.mu.Lock()
				if l.blocked == nil {
					l.blocked = make(chan struct{})
				}
				l.alarm = notice.Reason
				l.mu.Unlock()
			default:
				l.unblock()
			}
		}
	}
}

func (l *link) unblock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.blocked != nil {
		close(l.blocked)
		l.blocked = nil
	}
}

// writable waits until the broker takes messages, if it has an alarm (disk or memory).
func (l *link) writable(ctx context.Context) error {
	l.mu.Lock()
	blocked, alarm := l.blocked, l.alarm
	l.mu.Unlock()
	if blocked == nil {
		return nil
	}
	select {
	case <-blocked:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: it takes no messages (%s): %w", ErrUnreachable, alarm, errCause(ctx))
	}
}

// reason returns why the link is gone.
func (l *link) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.silent.Load():
		return fmt.Errorf("%w: no answer within %s", ErrUnreachable, l.limit)
	case l.err != nil:
		return categorise(l.err)
	}
	return fmt.Errorf("%w: the connection was closed", ErrUnreachable)
}

// call runs one call of the library. When the context ends first, call returns and leaves the library's call to finish
// behind it; when there is no answer within the limit, the connection is closed under it. Either way nothing waits for
// ever, and the goroutine is waited for by wait.
func (l *link) call(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, errCause(ctx))
	}
	answer := make(chan error, 1)
	if !l.start(func() { answer <- f() }) {
		return l.reason()
	}
	select {
	case err := <-answer:
		if errors.Is(err, amqp.ErrClosed) && l.gone() {
			return l.reason() // says more than "closed"
		}
		return categorise(err)
	case <-ctx.Done():
		return fmt.Errorf("%w: no answer yet: %w", ErrUnreachable, errCause(ctx))
	}
}

// start runs f, which calls the library, under the limit and without anybody waiting for it but wait. It reports false
// when the link has been left.
func (l *link) start(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left {
		return false
	}
	l.calls.Add(1)
	go func() {
		defer l.calls.Done()
		timer := time.AfterFunc(l.limit, func() {
			l.silent.Store(true)
			l.sever()
		})
		defer timer.Stop()
		f()
	}()
	return true
}

// gone reports whether the connection has ended.
func (l *link) gone() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// sever drops the connection without a word.
func (l *link) sever() { _ = l.tcp.Close() }

// close says goodbye to the broker, briefly, and drops the connection.
func (l *link) close() error {
	defer l.sever()
	err := l.amqp.CloseDeadline(time.Now().Add(min(2*time.Second, l.limit)))
	if errors.Is(err, amqp.ErrClosed) {
		return nil // gone before
	}
	if err != nil {
		return fmt.Errorf("say goodbye to the broker: %w", categorise(err))
	}
	return nil
}

// wait returns when no goroutine of the link is left, and lets none start any more. The connection must have been
// severed.
func (l *link) wait() {
	l.mu.Lock()
	l.left = true
	l.mu.Unlock()
	l.calls.Wait()
}
