package queue

import (
	"context"
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// inbox is a queue that belongs to one connection, named by the broker and gone with it, that hears what an exchange sends.
// It has its own channel: what is heard must not wait behind a worker's unsettled requests. Messages are not acknowledged,
// and nothing is lost with one: whoever sent it waits for an answer.
type inbox struct {
	session    *Session
	exchange   string
	channel    *amqp.Channel
	queue      string
	deliveries <-chan amqp.Delivery
	closes     chan *amqp.Error
}

// openInbox makes an inbox.
func (s *Session) openInbox(ctx context.Context, exchange string) (*inbox, error) {
	opened := make(chan *inbox, 1)
	err := s.main.call(ctx, func() error {
		channel, err := s.main.amqp.Channel()
		if err != nil {
			return fmt.Errorf("open a channel: %w", err)
		}
		b := &inbox{session: s, exchange: exchange, channel: channel, closes: channel.NotifyClose(make(chan *amqp.Error, 1))}
		declared, err := channel.QueueDeclare("", false, true, true, false, nil)
		if err != nil {
			return err
		}
		b.queue = declared.Name
		if err = channel.QueueBind(b.queue, "", exchange, false, nil); err == nil {
			b.deliveries, err = channel.Consume(b.queue, "", true, true, false, false, nil)
		}
		if err != nil {
			_ = channel.Close() // unless the refusal has closed it
			return err
		}
		opened <- b
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listen to exchange %s: %w", exchange, err)
	}
	return <-opened, nil
}

// bind makes sure that the exchange still sends to the inbox.
func (b *inbox) bind(ctx context.Context) error {
	err := b.session.main.call(ctx, func() error { return b.channel.QueueBind(b.queue, "", b.exchange, false, nil) })
	if err != nil {
		return fmt.Errorf("listen to exchange %s: %w", b.exchange, err)
	}
	return nil
}

// reason is why nothing is heard any more.
func (b *inbox) reason() error {
	if !b.session.alive() {
		return b.session.endedError()
	}
	err := errors.New("the broker took the queue away")
	select {
	case reason, told := <-b.closes:
		if told {
			err = categorise(reason)
		}
	default:
	}
	return fmt.Errorf("listen to exchange %s: %w", b.exchange, err)
}

// close gives the inbox up. The broker removes the queue with its only consumer.
func (b *inbox) close() {
	_ = b.session.main.start(func() { _ = b.channel.Close() })
}
