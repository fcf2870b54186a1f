package queue

import (
	"context"
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

// DeclareExchanges declares both exchanges. It needs the permission to configure them even when they exist.
func (s *Session) DeclareExchanges(ctx context.Context) error {
	for _, exchange := range []struct {
		name    string
		durable bool
	}{{StatusExchange, false}, {CompletionExchange, true}} {
		err := s.probe.use(ctx, func(channel *amqp.Channel) error {
			return channel.ExchangeDeclare(exchange.name, amqp.ExchangeFanout, exchange.durable, false, false, false, nil)
		})
		if err != nil {
			return fmt.Errorf("declare exchange %s (fanout, durable=%t): %w", exchange.name, exchange.durable, err)
		}
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
