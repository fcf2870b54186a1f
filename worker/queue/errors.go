package queue

import (
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// The categories of what can go wrong. Decide on them with errors.Is.
var (
	// ErrStale: the delivery belongs to a session that has ended, or ended while it was settled. Nothing was settled as
	// far as anybody can know, and the broker will deliver the message again.
	ErrStale = errors.New("the delivery's session has ended: the message will be delivered again")
	// ErrSettled: the delivery was acknowledged, requeued or rejected before. A second time would end the session.
	ErrSettled = errors.New("the delivery is settled already")
	// ErrNoQueue: the queue, or the exchange, does not exist.
	ErrNoQueue = errors.New("not found at the broker")
	// ErrUnrouted is the ErrNoQueue of a message: what it was sent to is there, and no queue takes it.
	ErrUnrouted = fmt.Errorf("%w: no queue takes the message", ErrNoQueue)
	// ErrRefused: the broker knows who asks and says no.
	ErrRefused = errors.New("refused by the broker")
	// ErrConflict: something of that name exists with other settings.
	ErrConflict = errors.New("exists with other settings")
	// ErrOverdue: a delivery was not settled within the broker's delivery timeout. All that came by its channel is stale.
	ErrOverdue = errors.New("a message was held for longer than the broker's delivery timeout (consumer_timeout) allows: raise it")
	// ErrRenewed: the session was ended because its account has been replaced by another one.
	ErrRenewed = errors.New("the credentials have changed")
	// ErrUnreachable: the broker cannot be reached, or no longer, or does not answer.
	ErrUnreachable = errors.New("broker unreachable")
	// ErrUnconfirmed: a message was sent and its fate is unknown.
	ErrUnconfirmed = errors.New("not confirmed by the broker")
)

// categorise puts an error of the library or the network into one of our categories. The broker's own words are kept:
// they name the vhost, the queue or the limit.
func categorise(err error) error {
	if err == nil {
		return nil
	}
	var answer *amqp.Error
	if !errors.As(err, &answer) {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	switch answer.Code {
	case amqp.AccessRefused, amqp.NotAllowed:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case amqp.NotFound:
		return fmt.Errorf("%w: %w", ErrNoQueue, err)
	case amqp.PreconditionFailed, amqp.ResourceLocked:
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case amqp.NotImplemented:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// categoriseClosed is categorise for the end of a channel that has nothing but deliveries. Nothing is declared on it, and
// nothing is settled twice: what fails as a precondition there is the time.
func categoriseClosed(reason *amqp.Error) error {
	if reason.Code == amqp.PreconditionFailed {
		return fmt.Errorf("%w: %w", ErrOverdue, reason)
	}
	return categorise(reason)
}
