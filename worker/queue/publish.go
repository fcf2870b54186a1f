package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// inFlight bounds the messages per exchange that are sent and not yet confirmed.
const inFlight = 32

// publisher has a connection of its own, opened when it is first needed and again when it broke, and on it one channel per
// exchange: the broker answers a publish to a missing exchange by closing the channel, and that must not take the
// confirms of messages to another exchange with it.
type publisher struct {
	dial  func(context.Context) (*link, error)
	limit time.Duration

	lock    chan struct{} // guards the fields below; held while dialling, so it is one that a context can leave
	link    *link
	outlets map[string]*outlet
	closed  bool
	old     sync.WaitGroup // links that were given up
}

func newPublisher(limit time.Duration, dial func(context.Context) (*link, error)) *publisher {
	return &publisher{dial: dial, limit: limit, lock: make(chan struct{}, 1)}
}

// outlet is a channel in confirm mode.
type outlet struct {
	link    *link
	channel *amqp.Channel
	closes  chan *amqp.Error
	slots   chan struct{}

	mu       sync.Mutex
	last     uint64
	returns  chan amqp.Return
	returned map[string]amqp.Return // by message id
	closed   error                  // what the broker said when it closed the channel
}

func (p *publisher) publish(ctx context.Context, exchange, key string, m Message) error {
	o, err := p.outlet(ctx, exchange)
	if err != nil {
		return err
	}
	if err := o.link.writable(ctx); err != nil {
		return err
	}
	select {
	case o.slots <- struct{}{}:
		defer func() { <-o.slots }()
	case <-ctx.Done():
		return fmt.Errorf("%w: %d messages wait for their confirms: %w", ErrUnreachable, inFlight, errCause(ctx))
	}
	message := m.publishing()
	// The default exchange promises a queue behind it. Of others, only the sender knows.
	mandatory := m.Mandatory || exchange == ""
	sent := make(chan *amqp.DeferredConfirmation, 1)
	id := o.nextID()
	if mandatory {
		message.MessageId = id // how a returned message is told from the others under way
	}
	err = o.link.call(ctx, func() error {
		confirmation, err := o.channel.PublishWithDeferredConfirm(exchange, key, mandatory, false, message)
		sent <- confirmation
		return err
	})
	if err != nil {
		p.drop(o)
		return o.failure(err)
	}
	return p.await(ctx, o, <-sent, id)
}

// await waits for the broker's word about a message.
func (p *publisher) await(ctx context.Context, o *outlet, confirmation *amqp.DeferredConfirmation, id string) error {
	timer := time.NewTimer(p.limit)
	defer timer.Stop()
	select {
	case <-confirmation.Done():
	case <-timer.C:
		p.drop(o) // a confirm that got lost would be waited for again and again
		return fmt.Errorf("%w: no confirm within %s", ErrUnconfirmed, p.limit)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnconfirmed, errCause(ctx))
	}
	if back, returned := o.wasReturned(id); returned {
		return fmt.Errorf("%w: the broker returned it: %d %s", ErrUnrouted, back.ReplyCode, back.ReplyText)
	}
	if confirmation.Acked() {
		return nil
	}
	if !o.channel.IsClosed() {
		return fmt.Errorf("%w: the broker could not store the message", ErrUnconfirmed)
	}
	p.drop(o)
	return o.failure(o.link.reason())
}

// failure is what is known of a message whose channel is no more, for the given reason unless the broker has said another
// one. A refusal of the broker's is about the message. The end of the whole connection is not: it may have been stored before.
func (o *outlet) failure(err error) error {
	if reason := o.reason(); reason != nil {
		if !errors.Is(reason, ErrUnreachable) {
			return reason
		}
		err = reason
	}
	return fmt.Errorf("%w: %w", ErrUnconfirmed, err)
}

func (o *outlet) nextID() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last++
	return strconv.FormatUint(o.last, 10)
}

// wasReturned reports whether the message came back. The broker returns a message before it confirms it, and the library
// hands over both in order, so after the confirm the return is here.
func (o *outlet) wasReturned(id string) (amqp.Return, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		select {
		case back, open := <-o.returns:
			if open {
				o.returned[back.MessageId] = back
				continue
			}
		default:
		}
		back, found := o.returned[id]
		delete(o.returned, id)
		return back, found
	}
}

// reason returns what the broker said when it closed the channel, nil when it said nothing.
func (o *outlet) reason() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case reason, told := <-o.closes:
		if told {
			o.closed = categorise(reason)
		}
	default:
	}
	return o.closed
}

// outlet returns the open channel for an exchange.
func (p *publisher) outlet(ctx context.Context, exchange string) (*outlet, error) {
	select {
	case p.lock <- struct{}{}:
		defer func() { <-p.lock }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, errCause(ctx))
	}
	if p.closed {
		return nil, fmt.Errorf("%w: the session was closed", ErrUnreachable)
	}
	if p.link != nil && p.link.gone() {
		p.forget()
	}
	if p.link == nil {
		fresh, err := p.dial(ctx)
		if err != nil {
			return nil, err
		}
		p.link, p.outlets = fresh, map[string]*outlet{}
	}
	if o := p.outlets[exchange]; o != nil && !o.channel.IsClosed() {
		return o, nil
	}
	o, err := openOutlet(ctx, p.link)
	if err != nil {
		return nil, err
	}
	p.outlets[exchange] = o
	return o, nil
}

func openOutlet(ctx context.Context, l *link) (*outlet, error) {
	opened := make(chan *outlet, 1)
	err := l.call(ctx, func() error {
		channel, err := l.amqp.Channel()
		if err != nil {
			return fmt.Errorf("open a channel: %w", err)
		}
		o := &outlet{
			link: l, channel: channel, slots: make(chan struct{}, inFlight), returned: map[string]amqp.Return{},
			closes:  channel.NotifyClose(make(chan *amqp.Error, 1)),
			returns: channel.NotifyReturn(make(chan amqp.Return, inFlight)),
		}
		if err := channel.Confirm(false); err != nil {
			return fmt.Errorf("ask for confirms: %w", err)
		}
		opened <- o
		return nil
	})
	if err != nil {
		return nil, err
	}
	return <-opened, nil
}

// drop takes an outlet out of use. Its channel is closed behind our back: nobody waits for the broker's farewell.
func (p *publisher) drop(o *outlet) {
	p.lock <- struct{}{}
	defer func() { <-p.lock }()
	for exchange, current := range p.outlets {
		if current == o {
			delete(p.outlets, exchange)
		}
	}
	if !o.link.gone() {
		_ = o.link.start(func() { _ = o.channel.Close() })
	}
}

// forget gives up the link.
func (p *publisher) forget() {
	given := p.link
	given.sever()
	p.old.Go(given.wait)
	p.link, p.outlets = nil, nil
}

// close ends the publisher and waits for its goroutines.
func (p *publisher) close() {
	p.lock <- struct{}{}
	p.closed = true
	if p.link != nil {
		_ = p.link.close() // what was confirmed is safe; a farewell that fails changes nothing
		p.forget()
	}
	<-p.lock
	p.old.Wait()
}
