// Package management speaks the management API of a broker, whoever installed it: users and what they may do, exchanges,
// queues. It sends no request and takes none: that is package queue's business.
//
// Start reading at Client.
package management

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	rabbithole "github.com/michaelklishin/rabbit-hole/v2"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// VHost is the virtual host that every client of a test cloud uses: it is a hard default in all of them.
const VHost = "/"

const (
	// callTimeout bounds one call. The API answers within milliseconds; a broker that swaps or recovers its queues
	// needs seconds.
	callTimeout = 30 * time.Second
	// parallelCalls keeps a plan of many resources from flooding the API, which serves all its users.
	parallelCalls = 4
	// awaitInterval is short because a broker that has just come up is what everything else waits for.
	awaitInterval = 250 * time.Millisecond
)

// Client is the management API of one broker: users, permissions, exchanges and queues. Its methods may be called
// from several goroutines. Every error is an *Error, which errors.Is matches with ErrNotFound, ErrDenied, ErrRefused
// and ErrUnavailable.
//
// Only this type knows rabbit-hole, whose calls have no context and whose errors are texts.
type Client struct {
	endpoint string
	username string
	password config.Secret
	base     *http.Transport
	dial     config.Dial
	slots    chan struct{}
	syncs    syncs
}

// New returns a client of the API at endpoint (http://HOST:PORT). It does not connect.
func New(endpoint, username string, password config.Secret) (*Client, error) {
	u, err := url.Parse(endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("%q is not the address of a management API: write it as http://HOST:15672", endpoint)
	}
	if u.User != nil {
		return nil, fmt.Errorf("the address of the management API at %s holds credentials: "+
			"put them into the credentials file", u.Host)
	}
	return &Client{
		endpoint: strings.TrimRight(endpoint, "/"),
		username: username,
		password: password,
		dial:     new(net.Dialer).DialContext,
		base:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: parallelCalls},
		slots:    make(chan struct{}, parallelCalls),
		syncs:    syncs{turn: make(chan struct{}, 1)},
	}, nil
}

// Trust makes the certificate of an authority, in PEM, the only one that vouches for the API at an https address. It is called
// before the first call.
func (m *Client) Trust(authority []byte) error {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return errors.New("there is no certificate in PEM form in it")
	}
	m.base.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return nil
}

// DialBy has all connections to the broker made by somebody else: one that only another machine can reach. It is called before
// the first call.
func (m *Client) DialBy(dial config.Dial) {
	m.dial = dial
	m.base.DialContext, m.base.Proxy = dial, nil
}

// Endpoint is the address that was given.
func (m *Client) Endpoint() string { return m.endpoint }

// Username is the user that the calls are made as.
func (m *Client) Username() string { return m.username }

// pathIdentity is a page that every management API has.
const pathIdentity = "/api/whoami"

// Identity asks the broker who we are. It proves that the address, the user and its rights are good.
func (m *Client) Identity(ctx context.Context) (User, error) {
	return answer(m, ctx, func(c *rabbithole.Client) (User, error) {
		info, err := c.Whoami()
		if err != nil {
			return User{}, err
		}
		return User{Name: info.Name, Tags: withoutEmpty(info.Tags)}, nil
	})
}

// Version is the broker's version, as 3.10.8.
func (m *Client) Version(ctx context.Context) (string, error) {
	return answer(m, ctx, func(c *rabbithole.Client) (string, error) {
		overview, err := c.Overview()
		if err != nil {
			return "", err
		}
		return overview.RabbitMQVersion, nil
	})
}

// Alarms fails with the status 503 while the broker takes no messages because memory or disk run short.
func (m *Client) Alarms(ctx context.Context) error {
	return m.call(ctx, func(c *rabbithole.Client) error {
		_, err := c.HealthCheckAlarms()
		return err
	})
}

// Await waits until the API answers us, at most until ctx ends. Only a broker that cannot be reached is waited for: wrong
// credentials do not get better.
func (m *Client) Await(ctx context.Context) error {
	started := time.Now()
	for {
		_, err := m.Identity(ctx)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrUnavailable) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s for the broker's management API at %s to answer: %w",
				time.Since(started).Round(100*time.Millisecond), m.endpoint, err)
		case <-time.After(awaitInterval):
		}
	}
}

// call runs f with a client whose requests are bound to ctx and whose failures are *Error.
func (m *Client) call(ctx context.Context, f func(*rabbithole.Client) error) error {
	_, err := answer(m, ctx, func(c *rabbithole.Client) (struct{}, error) { return struct{}{}, f(c) })
	return err
}

func answer[T any](m *Client, ctx context.Context, f func(*rabbithole.Client) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var none T
	select {
	case m.slots <- struct{}{}:
		defer func() { <-m.slots }()
	case <-ctx.Done():
		return none, &Error{Endpoint: m.endpoint, Err: ctx.Err()}
	}
	client, err := rabbithole.NewClient(m.endpoint, m.username, m.password.Reveal())
	if err != nil {
		return none, err
	}
	client.SetTransport(&boundTransport{ctx: ctx, m: m})
	value, err := f(client)
	if err == nil {
		return value, nil
	}
	var typed *Error
	if errors.As(err, &typed) {
		return none, typed // drops net/http's wrapper, which repeats method and address
	}
	return none, &Error{Endpoint: m.endpoint, Reason: "its answer was not understood", Err: err}
}

func withoutEmpty(tags []string) []string {
	var kept []string
	for _, tag := range tags {
		if tag = strings.TrimSpace(tag); tag != "" {
			kept = append(kept, tag)
		}
	}
	return kept
}
