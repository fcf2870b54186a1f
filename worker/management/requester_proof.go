package management

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	rabbithole "github.com/michaelklishin/rabbit-hole/v2"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/amqp08"
)

// ErrUnfit: an account cannot do what a requester must, or can do what it must not.
var ErrUnfit = errors.New("the account is not fit for a requester")

// Dialects in which an account was proven.
const (
	DialectGatekeeper = "AMQP 0-8 with AMQPLAIN"
	DialectOthers     = "AMQP 0-9-1 with PLAIN" // of all clients but the gatekeeper
)

const (
	// probePrefix begins a name that no request queue has, and no pattern that a worker is granted.
	probePrefix = "autopkgtest-probe-"
	// probeLife is when the broker removes a probe queue that nobody came to remove.
	probeLife = time.Minute
	// proofLimit bounds the whole proof, which takes some tens of milliseconds.
	proofLimit = 20 * time.Second
	// arrival bounds the way of one message through a broker.
	arrival      = 10 * time.Second
	arrivalPause = 50 * time.Millisecond
)

// requester is a client with a requester's account.
type requester interface {
	Publish(ctx context.Context, queue string, body []byte) error
	Get(ctx context.Context, queue string) error
	Declare(ctx context.Context, queue string) error
	Purge(ctx context.Context, queue string) error
	Close() error
}

// ProveRequester does with an account what the gatekeeper does with it, in its dialect: it publishes a message, which the
// administrator sees arrive in a queue made for it, and sees that to read, to declare and to purge are refused. Without
// it a requester's mistake stays unseen: what is published without the right, or to nowhere, vanishes. It returns the
// dialect: a broker that does not speak the gatekeeper's, as RabbitMQ 4, is asked in that of all others. An account that
// does not pass is ErrUnfit.
func (m *Client) ProveRequester(ctx context.Context, account config.Broker) (dialect string, err error) {
	ctx, cancel := context.WithTimeout(ctx, proofLimit)
	defer cancel()
	client, dialect, err := m.dialRequester(ctx, account)
	if err != nil {
		return "", err
	}
	defer func() { _ = client.Close() }()
	probe := probePrefix + strings.ToLower(rand.Text())
	if err := m.declareProbe(ctx, probe); err != nil {
		return "", err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), arrival)
		defer cancel()
		_ = m.DeleteQueue(ctx, probe, false) // it expires anyway
	}()
	return dialect, m.prove(ctx, client, account.Username, probe)
}

// dialRequester logs in as the gatekeeper does, or, at a broker that has no ear for it, as others do.
func (m *Client) dialRequester(ctx context.Context, account config.Broker) (client requester, dialect string, err error) {
	client, err = amqp08.DialBy(ctx, account, m.dial)
	dialect = DialectGatekeeper
	if errors.Is(err, amqp08.ErrDialect) {
		client, err = dialOther(ctx, account, m.dial)
		dialect = DialectOthers
	}
	switch {
	case err == nil:
		return client, dialect, nil
	case errors.Is(err, amqp08.ErrLogin):
		return nil, "", fmt.Errorf("%w: %q cannot log in at %s: %w", ErrUnfit, account.Username, account.Address(), err)
	}
	return nil, "", fmt.Errorf("%w: log in as %q: %w", ErrUnavailable, account.Username, err)
}

func (m *Client) prove(ctx context.Context, client requester, name, probe string) error {
	message := "a probe of the account " + name
	if err := client.Publish(ctx, probe, []byte(message)); err != nil {
		return fmt.Errorf("%w: %q cannot publish a request: %w", ErrUnfit, name, err)
	}
	if err := m.awaitProbe(ctx, name, probe, message); err != nil {
		return err
	}
	for _, must := range []struct {
		not string
		err error
	}{
		{"read from a queue (basic.get)", client.Get(ctx, probe)},
		{"declare a queue (queue.declare)", client.Declare(ctx, probe)},
		{"empty a queue (queue.purge)", client.Purge(ctx, probe)},
	} {
		switch {
		case must.err == nil || code(must.err) == preconditionFailed:
			return fmt.Errorf("%w: %q can %s", ErrUnfit, name, must.not)
		case code(must.err) != amqp08.AccessRefused:
			return fmt.Errorf("whether %q can %s: %w", name, must.not, must.err)
		}
	}
	queues, err := m.Queues(ctx)
	if err == nil && queues[probe].Messages != 0 {
		err = fmt.Errorf("%w: %d more messages than the one that %q sent have come to %s", ErrUnfit, queues[probe].Messages, name,
			probe)
	}
	return err
}

// preconditionFailed is what a declaration gets whose right nobody denied, but whose arguments are other than the queue's.
const preconditionFailed = 406

// code is that of the broker's refusal, zero if it did not refuse.
func code(err error) int {
	if refusal := new(amqp08.Refusal); errors.As(err, &refusal) {
		return refusal.Code
	}
	return otherCode(err)
}

// declareProbe makes a queue for one message that removes itself. It is durable only because later brokers allow no other.
func (m *Client) declareProbe(ctx context.Context, name string) error {
	return m.call(ctx, func(c *rabbithole.Client) error {
		return closing(c.DeclareQueue(VHost, name, rabbithole.QueueSettings{
			Durable:   true,
			Arguments: map[string]any{"x-max-length": 1, "x-expires": probeLife.Milliseconds()},
		}))
	})
}

// awaitProbe takes the message out of the probe queue.
func (m *Client) awaitProbe(ctx context.Context, name, probe, message string) error {
	ctx, cancel := context.WithTimeout(ctx, arrival)
	defer cancel()
	for {
		found, err := m.takeFrom(ctx, probe)
		switch {
		case err != nil && ctx.Err() == nil:
			return err
		case len(found) > 0 && found[0] != message:
			return fmt.Errorf("%w: what %q sent has not arrived, but something else: %.100q", ErrUnfit, name, found[0])
		case len(found) > 0:
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %q sent a message that was not refused, and within %s it did not arrive", ErrUnfit, name, arrival)
		case <-time.After(arrivalPause):
		}
	}
}

// takeFrom takes at most one message, for good.
func (m *Client) takeFrom(ctx context.Context, queue string) ([]string, error) {
	found, err := ask[[]struct {
		Payload string `json:"payload"`
	}](m, ctx, request{
		method: http.MethodPost,
		path:   inVHost("queues", queue) + "/get",
		body:   map[string]any{"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"},
	})
	var bodies []string
	for _, message := range found {
		bodies = append(bodies, message.Payload)
	}
	return bodies, err
}
