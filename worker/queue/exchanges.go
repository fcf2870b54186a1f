package queue

import (
	"context"
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// The exchanges that tell about runs. Their settings are a contract with every other client: a declaration that differs
// in one flag is an error for whoever comes second.
const (
	StatusExchange     = "teststatus.fanout"   // not durable; see Status
	CompletionExchange = "testcomplete.fanout" // durable; see Completion
)

// Listener is a queue that collects what an exchange sends. Its name is also its binding key, as the upstream collectors
// declare theirs.
type Listener struct {
	Queue      string
	Exchange   string
	Durable    bool
	AutoDelete bool
}

// The listeners of a collector.
var (
	CompletionListener = Listener{Queue: "complete-listener", Exchange: CompletionExchange, Durable: true}
	StatusListener     = Listener{Queue: "running-listener", Exchange: StatusExchange, AutoDelete: true}
)

// DeclareExchanges makes sure that both exchanges are there. The one for status messages does not outlive a restart of the
// broker, so it is declared, which takes the right to configure it even when it exists. The other one is durable and
// somebody else's to make: it is asked for, which takes no right, and made only where it is missing, if the account may.
func (s *Session) DeclareExchanges(ctx context.Context) error {
	if err := s.declareExchange(ctx, StatusExchange, false); err != nil {
		return err
	}
	err := s.probe.use(ctx, func(channel *amqp.Channel) error {
		return channel.ExchangeDeclarePassive(CompletionExchange, amqp.ExchangeFanout, true, false, false, false, nil)
	})
	if err == nil {
		return nil
	}
	if !errors.Is(err, ErrNoQueue) {
		return fmt.Errorf("ask for exchange %s: %w", CompletionExchange, err)
	}
	if making := s.declareExchange(ctx, CompletionExchange, true); making != nil {
		if errors.Is(making, ErrRefused) {
			return fmt.Errorf("the exchange %s is missing, and the account %s may not make it: apply autopkgtest_broker, which does: %w",
				CompletionExchange, s.user, err)
		}
		return making
	}
	return nil
}

func (s *Session) declareExchange(ctx context.Context, name string, durable bool) error {
	err := s.probe.use(ctx, func(channel *amqp.Channel) error {
		return channel.ExchangeDeclare(name, amqp.ExchangeFanout, durable, false, false, false, nil)
	})
	if err != nil {
		return fmt.Errorf("declare exchange %s (fanout, durable=%t): %w", name, durable, err)
	}
	return nil
}

// DeclareListener declares a listener's queue and binds it to its exchange, which must exist.
func (s *Session) DeclareListener(ctx context.Context, l Listener) error {
	err := s.probe.use(ctx, func(channel *amqp.Channel) error {
		if _, err := channel.QueueDeclare(l.Queue, l.Durable, l.AutoDelete, false, false, nil); err != nil {
			return err
		}
		return channel.QueueBind(l.Queue, l.Queue, l.Exchange, false, nil)
	})
	if err != nil {
		return fmt.Errorf("declare queue %s and bind it to exchange %s: %w", l.Queue, l.Exchange, err)
	}
	return nil
}
