package queue

import (
	"context"
	"fmt"
	"strings"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// Get takes the next message of a queue if there is one. Unlike Consume it lets the caller choose between queues that all
// have messages; it is for a caller that can begin with the message at once. No queue is ErrNoQueue.
func (s *Session) Get(ctx context.Context, queue string) (d Delivery, found bool, err error) {
	fail := func(err error) (Delivery, bool, error) {
		return Delivery{}, false, fmt.Errorf("take a message of %s: %w", queue, err)
	}
	// The broker answers the question for a queue that is not there by closing the channel, and all deliveries with it.
	if ready, _, err := s.Depth(ctx, queue); err != nil || ready == 0 {
		return Delivery{}, false, err
	}
	channel, err := s.openConsumerChannel(ctx, &s.asked)
	if err != nil {
		return fail(err)
	}
	type answer struct {
		delivery amqp.Delivery
		found    bool
	}
	got := make(chan answer, 1)
	// Not under the caller's context: a message that came and that nobody knows of would stay with us for ever.
	err = channel.use(context.Background(), func(channel *amqp.Channel) error {
		delivery, found, err := channel.Get(queue, false)
		got <- answer{delivery, found}
		return err
	})
	if err != nil {
		err = fmt.Errorf("take a message of %s: %w", queue, err)
		s.end(err) // a message may be on its way
		return Delivery{}, false, err
	}
	taken := <-got
	if !taken.found {
		return Delivery{}, false, nil
	}
	parsed, _ := request.ParseQueue(queue) // the zero value for other queues, as with Consume
	return channel.delivery(parsed, queue, taken.delivery), true, nil
}

// Listening is what Listen returns.
type Listening struct{ consumption *consumption }

// Listen has the broker push the next messages of the queues, whichever come first, but no more of them than there is
// room for: when that many have come it ends by itself, and what was delivered is settled without another one being
// pushed in its place. A queue is listened to from the moment on when it exists and ready returns nil for it; until then
// Waiting says why not. For the rest it is Consume.
func (s *Session) Listen(ctx context.Context, queues []string, room int, ready func(queue string) error) (*Listening, error) {
	fail := func(err error) (*Listening, error) {
		return nil, fmt.Errorf("listen to %s: %w", strings.Join(queues, " "), err)
	}
	if room < 1 {
		return fail(fmt.Errorf("room for %d messages", room))
	}
	c, err := s.startConsuming(ctx, queues, ready, func(c *consumption) error { return c.channel.begin(ctx, c, room) })
	if err != nil {
		return fail(err)
	}
	return &Listening{c}, nil
}

// Deliveries is closed when the listening has ended. Read it until then.
func (l *Listening) Deliveries() <-chan Delivery { return l.consumption.out }

// Allow makes room for more messages. It reports false when the listening is over, or about to be.
func (l *Listening) Allow(ctx context.Context, more int) (bool, error) {
	return l.consumption.channel.allow(ctx, l.consumption, more)
}

// room is how many messages the broker may still push through a channel that listens. The protocol knows only how many
// may be unsettled at a time (the prefetch), so that is kept at those that were pushed and are unsettled, plus the room:
// it is lowered before a message is settled, and raised when room is made. Messages that were asked for with Get come
// through another channel: RabbitMQ (3.10) counts those that are unsettled when the prefetch is first set, and never again.
type room struct {
	mu        sync.Mutex
	listening *consumption // nil while nothing listens
	left      int
	unsettled int // pushed, by this listening or an earlier one
}

// pushed counts a message. The last one that there is room for ends the listening.
func (r *room) pushed(by *consumption) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unsettled++
	if r.listening != by {
		return
	}
	if r.left--; r.left == 0 {
		r.listening = nil
		close(by.exhausted)
	}
}

// end forgets a listening that is over for another reason than that its room is used up.
func (r *room) end(listening *consumption) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listening == listening {
		r.listening = nil
	}
}

func (c *consumerChannel) begin(ctx context.Context, listening *consumption, room int) error {
	c.room.mu.Lock()
	c.room.listening, c.room.left = listening, room
	prefetch := c.room.unsettled + room
	c.room.mu.Unlock()
	return c.limit(ctx, prefetch)
}

func (c *consumerChannel) allow(ctx context.Context, listening *consumption, more int) (bool, error) {
	allowed := false
	err := c.use(ctx, func(channel *amqp.Channel) error {
		c.room.mu.Lock()
		allowed = c.room.listening == listening
		if !allowed {
			c.room.mu.Unlock()
			return nil
		}
		c.room.left += more
		prefetch := c.room.unsettled + c.room.left
		c.room.mu.Unlock()
		return channel.Qos(prefetch, 0, true)
	})
	return allowed, err
}

// settle settles a message such that the broker does not push another one in its place, unless there is room for that.
func (c *consumerChannel) settle(pushed bool, send func(*amqp.Channel) error) error {
	if pushed {
		c.awaitExhausted()
	}
	return c.use(context.Background(), func(channel *amqp.Channel) error {
		if !pushed {
			return send(channel)
		}
		c.room.mu.Lock()
		c.room.unsettled--
		listening, prefetch := c.room.listening != nil, c.room.unsettled+c.room.left
		c.room.mu.Unlock()
		if listening {
			if err := channel.Qos(prefetch, 0, true); err != nil {
				return err
			}
		}
		return send(channel)
	})
}

// awaitExhausted waits until a listening that has had its last message is over: its consumers are just being cancelled,
// and a prefetch of zero would not mean none, but any number.
func (c *consumerChannel) awaitExhausted() {
	c.session.mu.Lock()
	active := c.session.active
	c.session.mu.Unlock()
	if active == nil {
		return
	}
	select {
	case <-active.exhausted:
	default:
		return
	}
	select {
	case <-active.cancelled:
	case <-c.session.ended:
	}
}
