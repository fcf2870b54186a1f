package queue

import (
	"context"
	"fmt"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

// probe asks and declares on a channel of its own: the broker answers "no such queue" by closing the channel, and with
// it would go the deliveries on it. The next question opens a new one.
type probe struct {
	link *link

	mu      sync.Mutex
	channel *amqp.Channel
}

// use runs f on the probe's channel.
func (p *probe) use(ctx context.Context, f func(*amqp.Channel) error) error {
	return p.link.call(ctx, func() error {
		// Locked within the call: whoever waits here for another's answer is bound by the limit as well.
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.channel == nil || p.channel.IsClosed() {
			channel, err := p.link.amqp.Channel()
			if err != nil {
				return fmt.Errorf("open a channel: %w", err)
			}
			p.channel = channel
		}
		return f(p.channel)
	})
}

// inspect declares a queue passively, which needs no permission.
func (p *probe) inspect(ctx context.Context, name string) (amqp.Queue, error) {
	var found amqp.Queue
	err := p.use(ctx, func(channel *amqp.Channel) (err error) {
		found, err = channel.QueueDeclarePassive(name, true, false, false, false, nil)
		return err
	})
	if err != nil {
		return amqp.Queue{}, err // found is not ours to read: the call may still be under way
	}
	return found, nil
}
