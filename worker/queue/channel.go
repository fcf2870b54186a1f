package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// consumerChannel is a channel that a session's deliveries come through and are settled on. It lives as long as the
// session: when the broker closes it (a delivery was held longer than the broker's consumer timeout, say), all deliveries
// on it are stale, so the session ends.
type consumerChannel struct {
	session *Session
	amqp    *amqp.Channel
	closes  chan *amqp.Error
	cancels chan string // consumers that the broker took away, because their queue was deleted

	mu   sync.Mutex // the library's channels are not made for several callers
	room room
}

// delivery is a message as we hand it out.
func (c *consumerChannel) delivery(parsed request.Queue, queue string, d amqp.Delivery) Delivery {
	return Delivery{
		Queue: parsed, QueueName: queue, Body: d.Body, Redelivered: wasDelivered(d),
		headers: d.Headers, tag: d.DeliveryTag, channel: c, settled: new(atomic.Bool),
	}
}

// openConsumerChannel returns one of the session's channels for deliveries, opening it if there is none in slot yet.
func (s *Session) openConsumerChannel(ctx context.Context, slot **consumerChannel) (*consumerChannel, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *slot != nil {
		return *slot, nil
	}
	c := &consumerChannel{session: s}
	opened := make(chan *consumerChannel, 1)
	err := s.main.call(ctx, func() error {
		channel, err := s.main.amqp.Channel()
		if err != nil {
			return fmt.Errorf("open a channel: %w", err)
		}
		c.amqp = channel
		c.closes = channel.NotifyClose(make(chan *amqp.Error, 1))
		c.cancels = channel.NotifyCancel(make(chan string, 64))
		opened <- c
		return nil
	})
	if err != nil {
		return nil, err
	}
	*slot = <-opened
	s.tasks.Add(1)
	go func() {
		defer s.tasks.Done()
		if reason, told := <-c.closes; told {
			s.end(fmt.Errorf("the broker closed a channel of deliveries: %w", categoriseClosed(reason)))
		} else {
			s.end(s.main.reason())
		}
	}()
	return *slot, nil
}

// use runs f on the channel, one at a time.
func (c *consumerChannel) use(ctx context.Context, f func(*amqp.Channel) error) error {
	return c.session.main.call(ctx, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		return f(c.amqp)
	})
}

// limit bounds the unsettled deliveries of all consumers on the channel together.
func (c *consumerChannel) limit(ctx context.Context, prefetch int) error {
	err := c.use(ctx, func(channel *amqp.Channel) error { return channel.Qos(prefetch, 0, true) })
	var answer *amqp.Error
	if errors.As(err, &answer) && answer.Code == amqp.NotImplemented {
		// RabbitMQ 4.3 and later. One consumer per queue with a limit of its own cannot bound their sum.
		return fmt.Errorf("%w: this broker denies a limit over several queues: set "+
			"deprecated_features.permit.global_qos = true in rabbitmq.conf", err)
	}
	return err
}
