package run

import (
	"context"
	"errors"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// store puts the result where readers find it. It keeps trying for as long as the store is away; the result lies in the
// spool meanwhile, and a crash at any point leaves it there. The next start of the worker finds in the store how far it came:
// objects without result.tar are written again under the same run id, a result.tar that names this life is the result.
func (l *life) store(ctx context.Context) State {
	w := l.worker
	defer w.order.clear(l.id)
	done := l.persist(ctx, "storing the result", l.invalid, func(ctx context.Context) error {
		theirs, err := l.publish(ctx)
		w.order.note(l.id, err)
		if errors.Is(err, errAhead) {
			l.log.Error("the result stays in the spool", "error", err)
		}
		if err != nil || theirs {
			return err
		}
		l.at = l.publication.at
		l.log.Info("result stored", "run_id", string(l.at.RunID), "container", l.at.Container, "exitcode", l.result.ExitCode)
		return nil
	})
	switch {
	case done:
		return Announce
	case l.refused != nil:
		return Reject
	}
	return Handback
}

// publish is one try. It reports whether somebody else's result counts.
func (l *life) publish(ctx context.Context) (theirs bool, err error) {
	w := l.worker
	if err := l.lease.resume(ctx); err != nil {
		return false, err
	}
	if !l.publication.seen {
		if theirs, _, err = l.overtaken(ctx, ""); err != nil { // before a large upload
			return false, err
		}
	}
	if theirs {
		l.publication.leave()
		return true, l.publication.clear(ctx, w.store)
	}
	if err := l.lease.ensure(ctx, l.publication.seen); err != nil {
		return false, err
	}
	return w.order.publish(ctx, w.store, l.parcel, &l.publication, l)
}

// invalid ends the trying when the store will never take the result.
func (l *life) invalid(err error) bool {
	if !errors.Is(err, store.ErrInvalid) {
		return false
	}
	l.refused = err
	return true
}
