package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Order is a command as a worker gets it.
type Order struct {
	Command
	By  string // the user who gave it, as the broker has verified
	Err error  // why it must not be obeyed; nil for one that may be

	correlation string // empty when no answer is expected
}

// rebind is how often, in units of the session's recheck, a worker makes sure that commands reach it: whoever repairs the
// exchange by making it anew takes our binding away, and nobody is told.
const rebind = 6

// HearOrders calls obey for every command of an operator, one after the other. It returns when the context or the session has
// ended, or why no commands can be heard: ErrNoQueue when the exchange has not been deployed, for example. The session
// survives that, and HearOrders may be called again. heard is called once when commands will be heard from now on.
func (s *Session) HearOrders(ctx context.Context, heard func(), obey func(Order)) error {
	inbox, err := s.openInbox(ctx, ControlExchange)
	if err != nil {
		return err
	}
	defer inbox.close()
	heard()
	ticker := time.NewTicker(rebind * s.options.recheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return errCause(ctx)
		case <-s.ended:
			return s.endedError()
		case <-ticker.C:
			if err := inbox.bind(ctx); err != nil {
				return err
			}
		case d, open := <-inbox.deliveries:
			if !open {
				return inbox.reason()
			}
			obey(newOrder(d))
		}
	}
}

// maxCorrelation bounds what of a command is repeated in the answer.
const maxCorrelation = 100

// newOrder reads a command and says whether it may be obeyed. Who may send a message to a queue directly, as every requester
// may, is no operator: what counts is that it came through the exchange, which the broker tells, and from whom.
func newOrder(d amqp.Delivery) Order {
	o := Order{By: d.UserId}
	if d.Exchange != ControlExchange {
		o.Err = fmt.Errorf("it came through the exchange %q, commands come through %s", d.Exchange, ControlExchange)
		return o
	}
	if len(d.CorrelationId) <= maxCorrelation {
		o.correlation = d.CorrelationId
	}
	if d.UserId == "" {
		o.Err = errors.New("it does not say who gives it: the property user_id is missing")
		return o
	}
	o.Command, o.Err = ParseCommand(d.Body)
	return o
}

// Answer tells the operator what becomes of an order, if an answer is expected.
func (s *Session) Answer(ctx context.Context, o Order, a Answer) error {
	if o.correlation == "" {
		return nil
	}
	body, err := encode(a)
	if err != nil {
		return err
	}
	return s.PublishMessage(ctx, AnswersExchange, "", Message{Body: body, CorrelationID: o.correlation})
}
