package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// rejectLimit bounds one attempt to publish a rejected request. It holds a slot meanwhile, and a folder will do as well.
const rejectLimit = 10 * time.Second

// reject gets rid of a request that can never be run, without losing it: somebody sent it and waits. It goes to the broker's
// exchange for such requests, or, where that has not been deployed or cannot be reached, into a folder, from which a later
// session takes it there. Only then is it acknowledged. When neither works (no exchange and a full disk) it stays in its slot
// until one does; to give it back to its queue would bring it again at once.
func (l *life) reject(ctx context.Context) State {
	reason := fmt.Sprint(l.refused)
	l.log.Error("request rejected: it can never be run", "reason", request.HideSecrets(reason),
		"body", request.HideSecrets(head(l.delivery.Body)), "bytes", len(l.delivery.Body))
	refused := queue.Rejected{
		Body: l.delivery.Body, Queue: l.delivery.Queue.Name(), Reason: reason, Worker: l.state.worker, Time: time.Now(),
	}
	kept := l.persist(ctx, "keeping the rejected request", never, func(ctx context.Context) error {
		where, err := l.keepRejected(ctx, refused)
		if err == nil {
			l.log.Info("the rejected request is kept", "in", where)
		}
		return err
	})
	switch {
	case kept:
		l.unspool()
	case l.spooled.Load():
		return Shelve
	default:
		return Handback
	}
	if err := l.entry.drop().Ack(); err != nil {
		l.log.Warn("the rejected request will come again, and be kept twice", "error", err)
	}
	return End
}

// keepRejected makes a rejected request safe and says where it is.
func (l *life) keepRejected(ctx context.Context, r queue.Rejected) (where string, err error) {
	w := l.worker
	published := errors.New("there is no session with the broker")
	if session := w.broker.now(); session != nil {
		// Also when the worker must stop: it takes a moment.
		within, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), rejectLimit, errors.New("no confirm in time"))
		published = r.PublishTo(within, session)
		cancel()
		if published == nil {
			return "the queue " + queue.RejectedQueue, nil
		}
	}
	if err := w.rejects.save(l.id, r); err != nil {
		return "", errors.Join(published, err)
	}
	l.log.Warn("a rejected request could not be published; it is kept in a folder until it can", "error", published)
	return w.rejects.path(l.id), nil
}

// rejectedInterval is how often requests in the folder are tried again.
const rejectedInterval = time.Minute

// publishRejected takes what is in the folder to the broker, until the context ends with the session.
func (w *Worker) publishRejected(ctx context.Context, session session) {
	told := ""
	for {
		count, err := w.rejects.publish(ctx, session)
		if count > 0 {
			w.log.Info("rejected requests were taken from the folder to the queue "+queue.RejectedQueue, "requests", count)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			told = ""
		case told != err.Error():
			told = err.Error()
			w.log.Warn("rejected requests wait in a folder", "folder", w.rejects.folder, "error", err)
		}
		if !sleep(ctx, rejectedInterval) {
			return
		}
	}
}
