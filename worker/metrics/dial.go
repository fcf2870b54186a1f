package metrics

import (
	"context"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/run"
)

// Dialer counts the sessions that a dialer opens, and those that it cannot.
func (w *Worker) Dialer(dial run.Dialer) run.Dialer {
	return func(ctx context.Context) (*queue.Session, error) {
		session, err := dial(ctx)
		switch {
		case err == nil:
			w.sessions.Inc()
		case ctx.Err() == nil:
			w.dialFailing.Inc()
		}
		return session, err
	}
}
