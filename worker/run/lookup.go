package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// How far back a stored result is taken for that of a request which the broker delivers once more. A request that carries
// the time of its making, or an id, is like no other, so its result can only be its own. One that does not may be the
// repetition of an earlier one; then only a result from the time in which a lost acknowledgement is redelivered counts.
//
// What this cannot tell apart: equal requests without time or id that were queued together, one of them done by another
// worker, the other one redelivered to us within the hour. Excluding that takes a mark in the store, set when a result's
// message is acknowledged.
const (
	lookBackUnique = 7 * 24 * time.Hour
	lookBackEqual  = time.Hour
	lookupLimit    = 2 * time.Minute
)

// doneBefore waits for the store's answer to whether the request's result is there already.
func (l *life) doneBefore(ctx context.Context) bool {
	found := false
	l.persist(ctx, "looking for an earlier result", never, func(ctx context.Context) (err error) {
		found, err = l.lookup(ctx)
		return err
	})
	return found
}

// findStored is doneBefore for when the result is about to be stored. If the store does not answer, storing will not
// succeed either, and the next try looks again.
func (l *life) findStored(ctx context.Context) bool {
	found, err := l.lookup(ctx)
	if err != nil {
		l.log.Debug("looking for an earlier result", "error", err)
	}
	return found
}

// lookup finds the newest result in the store that was made from this very request. The life then has that result.
func (l *life) lookup(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookupLimit, errors.New("no answer in time"))
	defer cancel()
	q := l.delivery.Queue
	at := result.Location{
		Container: result.Container(q.Release, l.request.PPAs, l.request.Private()),
		Release:   q.Release, Architecture: q.Architecture, Package: l.request.Package,
	}
	back := lookBackEqual
	if l.request.SubmitTime != "" || l.request.ID != "" {
		back = lookBackUnique
	}
	ids, err := runs(ctx, l.worker.store, at.Container, q.Release, q.Architecture, l.request.Package, second(time.Now().Add(-back)))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil // no container, no result
	}
	if err != nil {
		return false, err
	}
	for i := len(ids) - 1; i >= 0; i-- {
		at.RunID = ids[i]
		when, err := at.RunID.Time()
		if err != nil || result.NewRunID(when, l.delivery.Body, q.Architecture, q.Release) != at.RunID || l.worker.ledger.isSettled(at.RunID) {
			continue
		}
		stored, err := l.fetch(ctx, at)
		if errors.Is(err, store.ErrNotFound) || errors.Is(err, result.ErrDamaged) {
			continue // a run that never became a result
		}
		if err != nil {
			return false, err
		}
		if !bytes.Equal(stored.Request, l.delivery.Body) && !(len(stored.Request) == 0 && l.secretBody()) {
			continue
		}
		l.at, l.result = at, stored
		l.log.Info("the request came again after its result was stored", "run_id", string(at.RunID))
		return true, nil
	}
	return false, nil
}

func (l *life) fetch(ctx context.Context, at result.Location) (result.Result, error) {
	body, _, err := l.worker.store.Get(ctx, at.Container, at.Object(result.TarObject))
	if err != nil {
		return result.Result{}, err
	}
	defer func() { _ = body.Close() }()
	stored, err := result.ReadTar(body)
	if err != nil {
		return result.Result{}, fmt.Errorf("%s in %s: %w", at.Object(result.TarObject), at.Container, err)
	}
	return stored, nil
}
