// Package amqp08 speaks AMQP 0-8 with AMQPLAIN, as the gatekeeper does.
//
// britney uses Python's amqplib, whose dialect RabbitMQ 3 still understands and RabbitMQ 4 does not. A broker and an account
// that work with every other client may fail with it, and then silently: a publish is not answered. So self-test and
// tests speak it, too. It is as small as they need: one connection, one channel, one call at a time.
//
// Start reading at Dial.
package amqp08

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// ErrDialect: the broker does not speak AMQP 0-8, or not AMQPLAIN.
var ErrDialect = errors.New("the broker does not speak AMQP 0-8 with AMQPLAIN")

// ErrLogin: the broker has closed the connection during the login, which is how it refuses a user or a virtual host to
// clients of this dialect.
var ErrLogin = errors.New("the broker refuses the login")

// Refusal is what the broker says when it closes a channel or a connection.
type Refusal struct {
	Code   int // as of HTTP: 403 for a right that is missing
	Text   string
	Class  int // of the method that was refused
	Method int
}

// Error implements error.
func (r *Refusal) Error() string { return fmt.Sprintf("the broker refuses: %d %s", r.Code, r.Text) }

// AccessRefused is the code for a right that is missing.
const AccessRefused = 403

// timeout bounds a call when its context does not.
const timeout = 30 * time.Second

// header is what amqplib begins with. That version 0-8 is asked for with the numbers 9 and 1 is no mistake of ours.
const header = "AMQP\x01\x01\x09\x01"

const channelNumber = 1

// Connection is a connection with one channel, not for use by several goroutines at a time. After a Refusal the channel is
// gone; Reopen makes another.
type Connection struct {
	conn   net.Conn
	reader *bufio.Reader
	closed bool // the channel
}

// Dial logs in and opens a channel, in the steps and with the words of amqplib.
func Dial(ctx context.Context, account config.Broker) (*Connection, error) {
	return DialBy(ctx, account, new(net.Dialer).DialContext)
}

// DialBy is Dial over connections that somebody else makes.
func DialBy(ctx context.Context, account config.Broker, dial config.Dial) (*Connection, error) {
	conn, err := account.ConnectBy(ctx, dial)
	if err != nil {
		return nil, err
	}
	c := &Connection{conn: conn, reader: bufio.NewReader(conn), closed: true}
	if err := c.open(ctx, account); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("AMQP 0-8 to %s: %w", account.Address(), err)
	}
	return c, nil
}

func (c *Connection) open(ctx context.Context, account config.Broker) error {
	defer c.bind(ctx)()
	if _, err := c.conn.Write([]byte(header)); err != nil {
		return err
	}
	start, err := c.start()
	if err != nil {
		return err
	}
	if err := start.offers("AMQPLAIN"); err != nil {
		return err
	}
	if err := c.send(0, startOK(account)); err != nil {
		return err
	}
	tune, err := c.expect(0, connectionTune)
	if err != nil {
		return during(err, ErrLogin)
	}
	if err := c.send(0, tuneOK(tune)); err != nil {
		return err
	}
	vhost := account.VHost
	if vhost == "" {
		vhost = "/"
	}
	if err := c.send(0, call(connectionOpen).short(vhost).short("").bits(false)); err != nil {
		return err
	}
	if _, err := c.expect(0, connectionOpenOK); err != nil {
		return during(err, ErrLogin)
	}
	return c.reopen()
}

// during says what the end of a connection means that came instead of an answer.
func during(err, meaning error) error {
	var refusal *Refusal
	if errors.As(err, &refusal) || errors.Is(err, errEnded) {
		return fmt.Errorf("%w: %w", meaning, err)
	}
	return err
}

// bind has the context end what waits on the connection, until the returned function is called.
func (c *Connection) bind(ctx context.Context) func() {
	deadline, ok := ctx.Deadline()
	if limit := time.Now().Add(timeout); !ok || limit.Before(deadline) {
		deadline = limit
	}
	_ = c.conn.SetDeadline(deadline) // what fails here fails in the next call as well
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}

func (c *Connection) reopen() error {
	if err := c.send(channelNumber, call(channelOpen).short("")); err != nil {
		return err
	}
	if _, err := c.expect(channelNumber, channelOpenOK); err != nil {
		return err
	}
	c.closed = false
	return nil
}

// roundTrip sends a method and waits for its answer, on a new channel if the broker has closed the last one.
func (c *Connection) roundTrip(ctx context.Context, m *method, answers ...uint32) error {
	defer c.bind(ctx)()
	if c.closed {
		if err := c.reopen(); err != nil {
			return err
		}
	}
	if err := c.send(channelNumber, m); err != nil {
		return err
	}
	_, err := c.expect(channelNumber, answers...)
	return err
}

// Publish sends a persistent message to the default exchange, as the gatekeeper sends a request, and then asks the broker
// for something else: the dialect has no confirms, but the broker obeys in order, so that a refusal comes before the
// answer. Without a Refusal the broker has taken the message; whether a queue has it, it does not say.
func (c *Connection) Publish(ctx context.Context, queue string, body []byte) error {
	defer c.bind(ctx)()
	if c.closed {
		if err := c.reopen(); err != nil {
			return err
		}
	}
	if err := c.send(channelNumber, call(basicPublish).u16(0).short("").short(queue).bits(false, false)); err != nil {
		return err
	}
	if err := c.write(frameHeader, channelNumber, contentHeader(len(body))); err != nil {
		return err
	}
	if err := c.write(frameBody, channelNumber, body); err != nil {
		return err
	}
	if err := c.send(channelNumber, call(channelFlow).bits(true)); err != nil {
		return err
	}
	_, err := c.expect(channelNumber, channelFlowOK)
	return err
}

// Get asks for a message without acknowledging it.
func (c *Connection) Get(ctx context.Context, queue string) error {
	return c.roundTrip(ctx, call(basicGet).u16(0).short(queue).bits(false), basicGetOK, basicGetEmpty)
}

// Declare declares a durable queue without arguments, actively.
func (c *Connection) Declare(ctx context.Context, queue string) error {
	const passive, durable, exclusive, autoDelete, noWait = false, true, false, false, false
	m := call(queueDeclare).u16(0).short(queue).bits(passive, durable, exclusive, autoDelete, noWait).table()
	return c.roundTrip(ctx, m, queueDeclareOK)
}

// Purge empties a queue.
func (c *Connection) Purge(ctx context.Context, queue string) error {
	return c.roundTrip(ctx, call(queuePurge).u16(0).short(queue).bits(false), queuePurgeOK)
}

// Close says goodbye. An error changes nothing: every call was answered.
func (c *Connection) Close() error {
	_ = c.conn.SetDeadline(time.Now().Add(time.Second))
	if c.send(0, call(connectionClose).u16(200).short("").u16(0).u16(0)) == nil {
		_, _ = c.expect(0, connectionCloseOK)
	}
	return c.conn.Close()
}
