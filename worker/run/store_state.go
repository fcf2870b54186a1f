package run

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// errNotOurs: somebody else has taken over the lease, and with it the request. What we have published is his to judge.
var errNotOurs = errors.New("another worker took this one for dead and has the request now")

// store puts the result where readers find it. It keeps trying for as long as the store is away; the result lies in the
// spool meanwhile, and a crash at any point leaves it there. The next start of the worker knows from the spool under which run
// ids it was tried: objects without result.tar are written again, a result.tar that names this life is the result.
func (l *life) store(ctx context.Context) State {
	w := l.worker
	defer w.order.clear(l.id)
	done := l.persist(ctx, "storing the result", l.final, func(ctx context.Context) error {
		err := l.publish(ctx)
		w.order.note(l.id, err)
		if errors.Is(err, errAhead) {
			l.log.Error("the result stays in the spool", "error", err)
		}
		return err
	})
	switch {
	case done:
		return Announce
	case l.refused != nil:
		return Reject
	case l.passedOn:
		l.log.Warn("the result is dropped", "reason", errNotOurs, "exitcode", l.result.ExitCode)
		l.unspool()
		return Handback
	}
	return Handback
}

// final ends the trying when the store will never take the result, or need not.
func (l *life) final(err error) bool {
	switch {
	case errors.Is(err, store.ErrInvalid):
		l.refused = err
		return true
	case errors.Is(err, errNotOurs):
		l.passedOn = true
		return true
	}
	return false
}

// publish is one try.
func (l *life) publish(ctx context.Context) error {
	if l.lease.Waits() { // an operator has ended what had not begun
		switch l.decide(ctx) {
		case stored:
			return nil
		case busy:
			return cmp.Or(context.Cause(ctx), errNotOurs)
		}
	}
	if err := l.answer(ctx); err != nil {
		return err
	}
	before, quiet := l.lease.Before(straggling)
	if found, err := l.late(ctx, before); err != nil || found {
		return err
	}
	if !l.publication.settled {
		before := l.publication.moved
		err := l.worker.order.publish(ctx, l.worker.store, l.parcel, &l.publication, l)
		if times := l.publication.moved - before; times > 0 {
			l.worker.settings.Observer.Moved(l.delivery.Queue, times)
		}
		if err != nil {
			return err
		}
		l.log.Info("result stored", "run_id", string(l.publication.at.RunID), "container", l.publication.at.Container,
			"exitcode", l.result.ExitCode)
	}
	l.at = l.publication.at
	if len(before) == 0 {
		return nil
	}
	if !sleep(ctx, time.Until(quiet)) {
		return context.Cause(ctx)
	}
	all, err := l.equals(ctx)
	if err != nil {
		return err
	}
	return l.clearEqual(ctx, all.of(before))
}

// straggling is how long after a lease was taken over its life before may still bring an upload to its end.
const straggling = tarLimit + 15*time.Second

// late looks for a result that has come into the store while the test ran, from a life that had the lease before and was taken
// for dead, or from a worker of another kind that got the message. If readers are sure to see it, ours is not needed.
func (l *life) late(ctx context.Context, before []string) (bool, error) {
	if !l.publication.sent.IsZero() || len(before) == 0 && !l.entry.contested() {
		return false, nil // ours may be readable, or is the only one
	}
	all, err := l.equals(ctx)
	if err != nil {
		return false, err
	}
	found := all.of(before)
	if foreign, ok := all.foreign(time.Since(l.began)); ok && l.entry.contested() {
		found = append(found, foreign)
	}
	if len(found) == 0 {
		return false, nil
	}
	last := found[len(found)-1]
	if passed, err := last.passed(ctx, l.worker.store); err != nil || passed {
		return false, err
	}
	l.publication.leave()
	if err := errors.Join(l.publication.clear(ctx, l.worker.store), l.clearEqual(ctx, found[:len(found)-1])); err != nil {
		return false, err
	}
	l.lease.Publish(string(last.at.RunID))
	l.settleWith(last)
	return true, nil
}
