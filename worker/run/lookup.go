package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
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
		found, _, err = l.lookup(ctx)
		return err
	})
	return found
}

// How long a worker waits for another one that has begun to store the same result, and how often it looks.
const (
	patienceLower  = time.Minute     // the other one's run id is lower: it has the right of way, unless it died
	patienceHigher = 5 * time.Second // ours is lower: the other one waits for us, unless it did not see us in time
	rivalInterval  = time.Second
)

// overtaken decides between workers that ran the same request, because the broker took it from one and gave it to
// another. It reports whether somebody else's result counts; the life then has that one. Otherwise our own may be stored,
// and rivals are the run ids whose owners wait for it.
//
// Each worker asks twice: before it uploads anything (mine is empty), and when its log is there, which shows its run id
// to the others. Of two that see each other, the one with the lower run id goes on, and the other one finds its result.
func (l *life) overtaken(ctx context.Context, mine result.RunID) (theirs bool, rivals []result.RunID, err error) {
	if !l.delivery.Redelivered && !l.entry.contested() {
		return false, nil, nil
	}
	for began := time.Now(); ; {
		theirs, rivals, err = l.lookup(ctx)
		if err != nil || theirs || len(rivals) == 0 {
			return theirs, nil, err
		}
		patience := patienceLower
		if mine != "" && mine < rivals[0] {
			patience = patienceHigher
		}
		if time.Since(began) >= patience {
			return false, rivals, nil
		}
		if !sleep(ctx, rivalInterval) {
			return false, nil, context.Cause(ctx)
		}
	}
}

// lookup finds the newest result in the store that was made from this very request by somebody else, or by this worker
// before it was restarted. The life then has that result. If there is none, rivals are the run ids under which somebody
// seems to be storing one, the lowest first.
func (l *life) lookup(ctx context.Context) (found bool, rivals []result.RunID, err error) {
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
		return false, nil, nil // no container, no result
	}
	if err != nil {
		return false, nil, err
	}
	for i := len(ids) - 1; i >= 0; i-- {
		at.RunID = ids[i]
		when, err := at.RunID.Time()
		if err != nil || result.NewRunID(when, l.delivery.Body, q.Architecture, q.Release) != at.RunID || l.worker.ledger.isOurs(at.RunID) {
			continue
		}
		stored, err := l.fetch(ctx, at)
		if errors.Is(err, store.ErrNotFound) {
			if when.After(l.began.Add(-patienceLower)) { // one that was begun long ago will never be finished
				rivals = slices.Insert(rivals, 0, at.RunID)
			}
			continue
		}
		if errors.Is(err, result.ErrDamaged) {
			continue
		}
		if err != nil {
			return false, nil, err
		}
		secret := len(stored.Request) == 0 && l.secretBody()
		if !secret && !bytes.Equal(stored.Request, l.delivery.Body) {
			continue
		}
		l.at, l.result = at, stored
		l.log.Info("the request's result is in the store already", "run_id", string(at.RunID))
		return true, nil, nil
	}
	return false, rivals, nil
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
