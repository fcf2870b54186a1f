package queue

import (
	"fmt"
	"sync/atomic"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// Delivery is a message that the broker has given to us and keeps until it is settled: acknowledged, requeued or
// rejected, once, in the session that brought it. Copies of a Delivery are the same delivery.
type Delivery struct {
	Queue       request.Queue // the zero value when QueueName is not a request queue's
	QueueName   string
	Body        []byte
	Redelivered bool // somebody had it before and did not settle it: the broker says so, or RedeliveredHeader does

	headers amqp.Table
	pushed  bool // by a consumer; not asked for with Get
	tag     uint64
	channel *consumerChannel
	settled *atomic.Bool
}

// Header is a header of the message, empty when it has none of that name or one that is no text.
func (d Delivery) Header(name string) string { return text(d.headers, name) }

// Ack removes the message from its queue. It returns nil only after the broker has answered a later question on the same
// channel, so a connection that broke on the way is noticed: then the error is ErrStale, and the message comes again.
func (d Delivery) Ack() error {
	return d.settle("acknowledge", func(channel *amqp.Channel) error {
		if err := channel.Ack(d.tag, false); err != nil {
			return err
		}
		// An acknowledgement has no answer. This question changes nothing, and its answer can only come after it.
		return channel.Flow(true)
	})
}

// Requeue gives the message back, to its old place in the queue.
func (d Delivery) Requeue() error {
	return d.settle("requeue", func(channel *amqp.Channel) error { return channel.Reject(d.tag, true) })
}

// Reject removes a message that can never be handled. The queue's policy may route it to a dead-letter queue.
func (d Delivery) Reject() error {
	return d.settle("reject", func(channel *amqp.Channel) error { return channel.Reject(d.tag, false) })
}

// Stale reports whether the delivery can no longer be settled, because its session has ended: the broker will deliver, or
// has delivered, the message again.
func (d Delivery) Stale() bool { return !d.channel.session.alive() }

func (d Delivery) settle(verb string, send func(*amqp.Channel) error) error {
	if d.Stale() {
		return fmt.Errorf("%s a message of %s: %w", verb, d.QueueName, ErrStale)
	}
	if !d.settled.CompareAndSwap(false, true) {
		return fmt.Errorf("%s a message of %s: %w", verb, d.QueueName, ErrSettled)
	}
	// No context: a settling that was begun is finished, within the session's limit.
	if err := d.channel.settle(d.pushed, send); err != nil {
		// Whatever broke, the delivery's fate is with the broker now. Ending the session makes that certain.
		err = fmt.Errorf("%s a message of %s: %w: %w", verb, d.QueueName, ErrStale, err)
		d.channel.session.end(err)
		return err
	}
	return nil
}
