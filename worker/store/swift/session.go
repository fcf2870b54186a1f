package swift

import (
	"context"
	"net/http"

	swiftlib "github.com/ncw/swift/v2"
)

// session gives out the connection that requests are sent through.
type session interface {
	// connection logs in if it must.
	connection(context.Context) (*swiftlib.Connection, error)
	// renew drops a connection whose login the server no longer accepts; false if there will be no other.
	renew(context.Context, *swiftlib.Connection) bool
}

// login is the session of an account. A connection never changes once it has logged in, so that goroutines can share it;
// a new login is a new connection.
type login struct {
	dial func() *swiftlib.Connection
	lock chan struct{} // holds a token while free; a mutex that a context can give up waiting for
	now  *swiftlib.Connection
}

func newLogin(dial func() *swiftlib.Connection) *login {
	l := &login{dial: dial, lock: make(chan struct{}, 1)}
	l.lock <- struct{}{}
	return l
}

func (l *login) connection(ctx context.Context) (*swiftlib.Connection, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.lock:
	}
	defer func() { l.lock <- struct{}{} }()
	if l.now != nil {
		return l.now, nil
	}
	attempt, cancel := context.WithCancel(ctx)
	defer cancel()
	c := l.dial()
	if err := c.Authenticate(attempt); err != nil {
		return nil, err
	}
	l.now = c
	return c, nil
}

func (l *login) renew(ctx context.Context, old *swiftlib.Connection) bool {
	select {
	case <-ctx.Done():
		return false
	case <-l.lock:
	}
	defer func() { l.lock <- struct{}{} }()
	if l.now == old { // otherwise somebody else has renewed it
		l.now = nil
	}
	return true
}

// anonymous is the session of somebody without an account.
type anonymous struct{ only *swiftlib.Connection }

func (a anonymous) connection(context.Context) (*swiftlib.Connection, error) { return a.only, nil }

func (a anonymous) renew(context.Context, *swiftlib.Connection) bool { return false }

// withoutToken sends requests without a token: Swift refuses one that it does not know, even for what is public.
type withoutToken struct{ transport *http.Transport }

func (t withoutToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Del("X-Auth-Token")
	return t.transport.RoundTrip(r)
}
