package management

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/amqp08"
)

// otherRequester is a client in the dialect of all others. Each call has a channel of its own: a refusal closes it.
type otherRequester struct{ connection *amqp.Connection }

func dialOther(ctx context.Context, account config.Broker, dial config.Dial) (requester, error) {
	stream, err := account.ConnectBy(ctx, dial)
	if err != nil {
		return nil, err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(proofLimit)
	}
	_ = stream.SetDeadline(deadline) // of everything: the connection is for one proof
	connection, err := amqp.Open(stream, amqp.Config{
		SASL:  []amqp.Authentication{&amqp.PlainAuth{Username: account.Username, Password: account.Password.Reveal()}},
		Vhost: VHost,
	})
	if err != nil {
		_ = stream.Close()
	}
	if errors.Is(err, amqp.ErrCredentials) || errors.Is(err, amqp.ErrVhost) || otherCode(err) == amqp08.AccessRefused {
		return nil, fmt.Errorf("%w: %w", amqp08.ErrLogin, err)
	}
	if err != nil {
		return nil, err
	}
	return &otherRequester{connection}, nil
}

func (o *otherRequester) on(f func(*amqp.Channel) error) error {
	channel, err := o.connection.Channel()
	if err != nil {
		return err
	}
	defer func() { _ = channel.Close() }()
	return f(channel)
}

// Publish implements requester.
func (o *otherRequester) Publish(ctx context.Context, queue string, body []byte) error {
	return o.on(func(channel *amqp.Channel) error {
		closed := channel.NotifyClose(make(chan *amqp.Error, 1))
		if err := channel.Confirm(false); err != nil {
			return err
		}
		message := amqp.Publishing{Body: body, DeliveryMode: amqp.Persistent}
		confirmation, err := channel.PublishWithDeferredConfirmWithContext(ctx, "", queue, false, false, message)
		if err != nil {
			return err
		}
		acknowledged, err := confirmation.WaitContext(ctx)
		if err == nil && !acknowledged {
			select {
			case refusal := <-closed:
				return refusal
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return err
	})
}

// Get implements requester.
func (o *otherRequester) Get(_ context.Context, queue string) error {
	return o.on(func(channel *amqp.Channel) error {
		_, _, err := channel.Get(queue, false)
		return err
	})
}

// Declare implements requester.
func (o *otherRequester) Declare(_ context.Context, queue string) error {
	return o.on(func(channel *amqp.Channel) error {
		_, err := channel.QueueDeclare(queue, true, false, false, false, nil)
		return err
	})
}

// Purge implements requester.
func (o *otherRequester) Purge(_ context.Context, queue string) error {
	return o.on(func(channel *amqp.Channel) error {
		_, err := channel.QueuePurge(queue, false)
		return err
	})
}

// Close implements requester.
func (o *otherRequester) Close() error { return o.connection.Close() }

// otherCode is the code of a refusal in this dialect.
func otherCode(err error) int {
	if refusal := new(amqp.Error); errors.As(err, &refusal) {
		return refusal.Code
	}
	return 0
}
