package run

import (
	"context"
	"errors"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
)

// announceLimit bounds one attempt to publish the completion message.
const announceLimit = time.Minute

// announce tells that there is a result. The broker's confirm is waited for: then the message is as safe as the result.
func (l *life) announce(ctx context.Context) State {
	body, err := queue.NewCompletion(l.at, l.request, l.result).Body()
	if err != nil {
		l.log.Error("the completion message cannot be written; collectors find the result by listing the store", "error", err)
		l.unspool()
		return Ack
	}
	done := l.persist(ctx, "announcing the result", never, func(ctx context.Context) error {
		session, err := l.worker.broker.get(ctx)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeoutCause(ctx, announceLimit, errors.New("no confirm in time"))
		defer cancel()
		err = session.Publish(ctx, queue.CompletionExchange, "", body, true)
		if errors.Is(err, queue.ErrNoQueue) { // somebody deleted the exchange
			return errors.Join(err, session.DeclareExchanges(ctx))
		}
		return err
	})
	if !done {
		return Handback
	}
	if !l.since.IsZero() {
		l.worker.settings.Observer.Announced(l.delivery.Queue, time.Since(l.since))
	}
	l.unspool()
	return Ack
}
