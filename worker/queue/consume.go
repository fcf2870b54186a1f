package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// Consume has the broker push the messages of the queues, at most prefetch unsettled ones at a time over all of them.
// A queue that does not exist is waited for, and said so; one that appears later is consumed from then on. It is never
// declared here: a worker has no right to.
//
// The context ends the consuming, not the session: nothing more is pushed, what was pushed before still comes out of the
// channel, then it is closed. Read it until then. The deliveries stay valid. When the session ends the channel is closed
// at once. After that, and not before, Consume may be called again.
func (s *Session) Consume(ctx context.Context, queues []string, prefetch int) (<-chan Delivery, error) {
	fail := func(err error) (<-chan Delivery, error) {
		return nil, fmt.Errorf("consume %s: %w", strings.Join(queues, " "), err)
	}
	if prefetch < 1 {
		return fail(errors.New("without a bound on unsettled deliveries, the broker would push whole queues"))
	}
	always := func(string) error { return nil }
	c, err := s.startConsuming(ctx, queues, always, func(c *consumption) error { return c.channel.limit(ctx, prefetch) })
	if err != nil {
		return fail(err)
	}
	return c.out, nil
}

// startConsuming attaches consumers, after limit has bounded what the broker may push to them.
func (s *Session) startConsuming(ctx context.Context, queues []string, ready func(queue string) error,
	limit func(*consumption) error,
) (*consumption, error) {
	channel, err := s.openConsumerChannel(ctx, &s.pushed)
	if err != nil {
		return nil, err
	}
	c := &consumption{
		session: s, channel: channel, ready: ready,
		waiting: map[string]string{}, tags: map[string]string{},
		out: make(chan Delivery), exhausted: make(chan struct{}),
		cancelled: make(chan struct{}), stopped: make(chan struct{}),
	}
	for _, queue := range queues {
		c.waiting[queue] = ""
	}
	s.mu.Lock()
	if s.active != nil && !s.active.over() {
		s.mu.Unlock()
		return nil, errors.New("the session is consuming already")
	}
	s.active = c
	s.mu.Unlock()
	if err := limit(c); err != nil {
		c.stop()
		return nil, err
	}
	if err := c.attachWaiting(ctx); err != nil && ctx.Err() == nil {
		s.end(err) // some consumers may run already, and nobody will read what they were given
		c.stop()
		return nil, err
	}
	s.tasks.Add(1)
	go func() {
		defer s.tasks.Done()
		c.run(ctx)
	}()
	return c, nil
}

// Waiting tells which queues of the current Consume are not consumed yet, and why. It is empty when all is well.
func (s *Session) Waiting() map[string]string {
	s.mu.Lock()
	c := s.active
	s.mu.Unlock()
	if c == nil {
		return map[string]string{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.waiting)
}

// consumption is one Consume. Its run goroutine attaches and detaches consumers; one forwarder per consumer turns what
// the library hands out into deliveries.
type consumption struct {
	session *Session
	channel *consumerChannel
	ready   func(queue string) error
	out     chan Delivery

	exhausted chan struct{} // closed when a Listen has had all that it has room for
	cancelled chan struct{} // closed when the broker pushes nothing more
	stopped   chan struct{} // closed when nothing of it is left

	forwarders sync.WaitGroup

	mu      sync.Mutex
	waiting map[string]string // queue → why it is not consumed
	tags    map[string]string // consumer tag → queue
}

func (c *consumption) over() bool {
	select {
	case <-c.stopped:
		return true
	default:
		return false
	}
}

func (c *consumption) run(ctx context.Context) {
	ticker := time.NewTicker(c.session.options.recheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			c.cancelAll()
			c.stop()
			return
		case <-c.exhausted:
			c.cancelAll()
			c.stop()
			return
		case <-c.session.ended:
			c.stop()
			return
		case tag, open := <-c.channel.cancels:
			if !open {
				<-c.session.ended
				c.stop()
				return
			}
			c.lost(tag)
		case <-ticker.C:
			if err := c.attachWaiting(ctx); err != nil && ctx.Err() == nil {
				c.session.end(err)
			}
		}
	}
}

// stop waits for the forwarders and closes the channel of deliveries.
func (c *consumption) stop() {
	c.channel.room.end(c)
	close(c.cancelled)
	c.forwarders.Wait()
	close(c.stopped) // before the reader can know, who may consume anew then
	close(c.out)
}

// attachWaiting starts a consumer for each waiting queue that can be consumed now.
func (c *consumption) attachWaiting(ctx context.Context) error {
	c.mu.Lock()
	names := slices.Sorted(maps.Keys(c.waiting))
	c.mu.Unlock()
	for _, name := range names {
		why := ""
		if err := c.ready(name); err != nil {
			why = err.Error()
		} else if _, err := c.session.probe.inspect(ctx, name); errors.Is(err, ErrNoQueue) {
			why = "the queue does not exist"
		} else if err != nil {
			return fmt.Errorf("look for queue %s: %w", name, err)
		}
		if why != "" {
			c.report(name, why)
			continue
		}
		if err := c.attach(name); err != nil {
			return fmt.Errorf("consume queue %s: %w", name, err)
		}
	}
	return nil
}

// report logs why a queue is waiting, once per reason.
func (c *consumption) report(queue, why string) {
	c.mu.Lock()
	changed := c.waiting[queue] != why
	c.waiting[queue] = why
	c.mu.Unlock()
	if changed {
		c.session.options.log.Warn("queue is not consumed yet", "queue", queue, "reason", why)
	}
}

// tags keeps consumer tags apart within a channel, also when a queue is deleted and comes back.
var tags atomic.Uint64

func (c *consumption) attach(queue string) error {
	tag := queue + "." + strconv.FormatUint(tags.Add(1), 10)
	got := make(chan (<-chan amqp.Delivery), 1)
	// Not under a context that may end in between: a consumer that nobody knows of would hold messages unread.
	err := c.channel.use(context.Background(), func(channel *amqp.Channel) error {
		deliveries, err := channel.Consume(queue, tag, false, false, false, false, nil)
		if err == nil {
			got <- deliveries
		}
		return err
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	why := c.waiting[queue]
	delete(c.waiting, queue)
	c.tags[tag] = queue
	c.mu.Unlock()
	if why != "" {
		c.session.options.log.Info("queue is consumed now", "queue", queue)
	}
	c.forwarders.Add(1)
	go func() {
		defer c.forwarders.Done()
		c.forward(queue, <-got)
	}()
	return nil
}

func (c *consumption) forward(queue string, deliveries <-chan amqp.Delivery) {
	parsed, _ := request.ParseQueue(queue) // the zero value for other queues, as documented
	for d := range deliveries {
		c.channel.room.pushed(c)
		delivery := c.channel.delivery(parsed, queue, d)
		delivery.pushed = true
		select {
		case c.out <- delivery:
		case <-c.session.ended:
			return // stale; the library drops the rest by itself
		}
	}
}

// lost puts the queue of a consumer that the broker took away back among the waiting ones.
func (c *consumption) lost(tag string) {
	c.mu.Lock()
	queue, known := c.tags[tag]
	delete(c.tags, tag)
	c.mu.Unlock()
	if known {
		c.report(queue, "the broker cancelled the consumer: the queue was deleted, or its node went away")
	}
}

// cancelAll tells the broker to push nothing more.
func (c *consumption) cancelAll() {
	c.mu.Lock()
	running := slices.Sorted(maps.Keys(c.tags))
	c.mu.Unlock()
	for _, tag := range running {
		// Not the consumption's context, which has ended. The session's limit holds.
		err := c.channel.use(context.Background(), func(channel *amqp.Channel) error { return channel.Cancel(tag, false) })
		if err != nil {
			c.session.end(fmt.Errorf("stop consuming: %w", err))
			return
		}
	}
}
