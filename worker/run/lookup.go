package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// How far back results are looked for. The results of our workers name the life that made them, and its lease tells whether
// that life's message is settled. Others' results do not: one from a request that carries the time of its making, or an id,
// is like no other, so it can only be its own; one without may be from an earlier repetition, so only a result from the time
// in which a lost acknowledgement is redelivered counts.
const (
	lookBack      = 7 * 24 * time.Hour
	lookBackEqual = time.Hour
	lookupLimit   = 2 * time.Minute
)

// lookedUp is what the store says about a request.
type lookedUp struct {
	theirs bool           // somebody else's result is this request's; the life has it now
	busy   bool           // there is a result whose life has yet to settle its message: wait for that
	held   bool           // a life that still lives has an equal request in work
	rivals []result.RunID // under which somebody seems to be storing one, the lowest first
	over   []string       // leases of lives that are over and published nothing
}

// lookup finds a result in the store that was made from this very request by another life. Which of the results of equal
// requests that is depends on whose the message is.
//
// If the broker has given it to us, it is one whose own message is not settled: its life has a lease, but is over. We take
// that lease over, so that the next equal request finds the next result.
//
// If the broker has taken it from us, it is any result from the time of this life: whoever has the message now either made
// one, or waits for us, or runs the test again.
func (l *life) lookup(ctx context.Context) (lookedUp, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookupLimit, errors.New("no answer in time"))
	defer cancel()
	// Leases first: a life publishes before its lease ends.
	leases, err := l.watch.all(ctx, l.entry.identity, l.id)
	if err != nil {
		return lookedUp{}, err
	}
	var found lookedUp
	ids, at, err := l.equals(ctx)
	if err != nil {
		return lookedUp{}, err
	}
	results := map[result.RunID]result.Result{}
	for _, id := range ids {
		at.RunID = id
		stored, err := fetch(ctx, l.worker.store, at)
		if errors.Is(err, store.ErrNotFound) {
			if when, err := id.Time(); err == nil && when.After(l.began.Add(-patienceLower)) && !l.worker.ledger.isOurs(id) {
				found.rivals = append(found.rivals, id) // one that was begun long ago will never be finished
			}
			continue
		}
		if errors.Is(err, result.ErrDamaged) {
			continue
		}
		if err != nil {
			return lookedUp{}, err
		}
		secret := len(stored.Request) == 0 && l.secretBody()
		if !secret && !bytes.Equal(stored.Request, l.delivery.Body) {
			continue
		}
		if handleOf(stored) == l.id {
			l.publication.found(id)
			continue
		}
		results[id] = stored
	}
	if l.publication.seen {
		return lookedUp{}, nil // whatever others have done meanwhile, somebody may have relied on ours
	}
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(results))) {
		at.RunID = id
		if err := l.consider(ctx, at, results[id], leases, &found); err != nil || found.theirs {
			return found, err
		}
		delete(leases, handleOf(results[id]))
	}
	for _, other := range leases {
		switch {
		case other.over:
			found.over = append(found.over, other.object)
		case !other.Waiting:
			found.held = true
		}
	}
	return found, nil
}

// consider decides about one result with the request's bytes.
func (l *life) consider(ctx context.Context, at result.Location, stored result.Result, leases map[string]otherLease, found *lookedUp,
) error {
	handle := handleOf(stored)
	when, err := at.RunID.Time()
	if err != nil {
		return err // cannot be: equals has read it
	}
	switch {
	case handle == "":
		back := lookBackEqual
		if l.request.SubmitTime != "" || l.request.ID != "" {
			back = lookBack
		}
		found.theirs = when.After(time.Now().Add(-back))
	case l.entry.stale():
		// Not one of ours: an equal request here that has lost its message, too, made that.
		found.theirs = when.After(l.began.Add(-lookBackEqual)) && !l.worker.ledger.isOurs(at.RunID)
	default:
		other, known := leases[handle]
		if !known { // it may be new
			if other, known, err = l.watch.one(ctx, l.entry.identity.hex()+"/"+handle); err != nil {
				return err
			}
		}
		switch {
		case !known: // settled
		case !other.over:
			found.busy = true
		default:
			if found.theirs, err = l.lease.adopt(ctx, other.object); err != nil {
				return err
			}
			found.busy = !found.theirs // somebody else was faster
		}
	}
	if found.theirs {
		l.at, l.result = at, stored
		l.log.Info("the request's result is in the store already", "run_id", string(at.RunID), "of", handle)
	}
	return nil
}

// equals lists the run ids of the package that equal requests have, ascending.
func (l *life) equals(ctx context.Context) (ids []result.RunID, at result.Location, err error) {
	q := l.delivery.Queue
	at = result.Location{
		Container: result.Container(q.Release, l.request.PPAs, l.request.Private()),
		Release:   q.Release, Architecture: q.Architecture, Package: l.request.Package,
	}
	all, err := runs(ctx, l.worker.store, at.Container, q.Release, q.Architecture, l.request.Package, second(time.Now().Add(-lookBack)))
	if errors.Is(err, store.ErrNotFound) {
		return nil, at, nil // no container, no result
	}
	if err != nil {
		return nil, at, err
	}
	for _, id := range all {
		if when, err := id.Time(); err == nil && result.NewRunID(when, l.delivery.Body, q.Architecture, q.Release) == id {
			ids = append(ids, id)
		}
	}
	return ids, at, nil
}

// fetch reads a result.
func fetch(ctx context.Context, s store.Store, at result.Location) (result.Result, error) {
	body, _, err := s.Get(ctx, at.Container, at.Object(result.TarObject))
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
