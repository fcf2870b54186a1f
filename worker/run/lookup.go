package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lease"
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

// verdict is what is to be done with a request that somebody had before.
type verdict int

const (
	busy   verdict = iota // somebody may have it in work
	stored                // its result is in the store; the life has it now, and its lease
	vacant                // nobody has it: the life has its lease, or a new one
)

// lookup decides about a request that the broker had given to somebody before. Equal requests may be in work, and their
// results in the store; which belongs to which message is a question of leases alone (see package lease).
func (l *life) lookup(ctx context.Context) (verdict, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookupLimit, errors.New("no answer in time"))
	defer cancel()
	// Leases first: a life publishes before its lease ends.
	others, err := l.watch.Others(ctx)
	if err != nil {
		return busy, err
	}
	equals, err := l.equals(ctx)
	if err != nil {
		return busy, err
	}
	if l.heir != nil { // a try before this one got so far
		return l.judge(ctx, *l.heir, equals.of(l.heir.Handles()))
	}
	// Certain ones first: a doubtful lease may be that of another message, which is settled.
	for _, other := range others {
		if found := equals.of(other.Handles()); other.Dead && !other.Doubtful && len(found) > 0 {
			return l.inherit(ctx, other, found)
		}
	}
	if foreign, ok := equals.foreign(l.lookBack()); ok {
		l.settleWith(foreign)
		return stored, nil
	}
	if slices.ContainsFunc(others, func(o lease.Other) bool { return !o.Dead && !o.Waiting }) {
		return busy, nil
	}
	for _, doubtful := range []bool{false, true} {
		for _, other := range others {
			if other.Dead && other.Doubtful == doubtful {
				return l.inherit(ctx, other, equals.of(other.Handles()))
			}
		}
	}
	if claimed, err := l.lease.Claim(ctx, l.watch); err != nil || !claimed {
		return busy, err
	}
	l.log.Info("nobody has the request in work", "leases_of_equal_ones", others)
	return vacant, nil
}

// inherit takes over a lease, with the results of its lives.
func (l *life) inherit(ctx context.Context, other lease.Other, found []equal) (verdict, error) {
	if taken, err := l.lease.Take(ctx, other); err != nil || !taken {
		return busy, err
	}
	l.heir = &other
	l.log.Info("took the request over from a life that is over", "lease", other, "results", len(found))
	return l.judge(ctx, other, found)
}

// judge decides what the results of an inherited lease are worth. The last of them counts, if it is certain that readers see
// it: its life may have died before it had looked whether it was passed.
func (l *life) judge(ctx context.Context, from lease.Other, found []equal) (verdict, error) {
	if len(found) == 0 {
		return vacant, nil
	}
	last := found[len(found)-1]
	if from.Published != string(last.at.RunID) {
		passed, err := last.passed(ctx, l.worker.store)
		if err != nil {
			return busy, err
		}
		if passed {
			l.log.Info("the request has a result that the gatekeeper may have passed over: it is run again",
				"run_id", string(last.at.RunID))
			return vacant, nil
		}
	}
	l.lease.Publish(string(last.at.RunID))
	if err := l.clearEqual(ctx, found[:len(found)-1]); err != nil {
		return busy, err
	}
	l.settleWith(last)
	return stored, nil
}

// settleWith makes another life's result the life's own.
func (l *life) settleWith(e equal) {
	l.at, l.result, l.inherited = e.at, e.Result, true
	l.log.Info("the request's result is in the store already", "run_id", string(e.at.RunID), "of", e.handle)
}

// clearEqual removes results that do not count.
func (l *life) clearEqual(ctx context.Context, surplus []equal) error {
	for _, e := range surplus {
		p := publication{handle: e.handle}
		if err := p.remove(ctx, l.worker.store, e.at); err != nil {
			return fmt.Errorf("remove a second result of the request: %w", err)
		}
		l.log.Info("removed a second result of the request", "run_id", string(e.at.RunID), "of", e.handle)
	}
	return nil
}

func (l *life) lookBack() time.Duration {
	if l.request.SubmitTime != "" || l.request.ID != "" {
		return lookBack
	}
	return lookBackEqual
}

// equal is a result in the store that was made from a request with the same bytes.
type equal struct {
	result.Result
	at     result.Location
	handle string // of the life that made it; empty if that was none of our workers
}

// passed reports whether readers may have passed the result over. When it became readable, only its life knew.
func (e equal) passed(ctx context.Context, s store.Store) (bool, error) {
	unknown := publication{at: e.at, took: unseenPut}
	return unknown.passed(ctx, s)
}

// equals are in the order of their run ids.
type equals []equal

// of are those that some lives have made.
func (e equals) of(handles []string) (found []equal) {
	for _, one := range e {
		if slices.Contains(handles, one.handle) {
			found = append(found, one)
		}
	}
	return found
}

// foreign is the last one that nobody of ours has made, if it is not too old.
func (e equals) foreign(back time.Duration) (equal, bool) {
	for _, one := range slices.Backward(e) {
		if when, err := one.at.RunID.Time(); err == nil && one.handle == "" && when.After(time.Now().Add(-back)) {
			return one, true
		}
	}
	return equal{}, false
}

// equals reads the results of requests with the same bytes.
func (l *life) equals(ctx context.Context) (found equals, err error) {
	q := l.delivery.Queue
	at := result.Location{
		Container: result.Container(q.Release, l.request.PPAs, l.request.Private()),
		Release:   q.Release, Architecture: q.Architecture, Package: l.request.Package,
	}
	all, err := runs(ctx, l.worker.store, at.Container, q.Release, q.Architecture, l.request.Package, second(time.Now().Add(-lookBack)))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil // no container, no result
	}
	if err != nil {
		return nil, err
	}
	for _, id := range all {
		// Equal requests have equal digits in their run ids.
		if when, err := id.Time(); err != nil || result.NewRunID(when, l.delivery.Body, q.Architecture, q.Release) != id {
			continue
		}
		at.RunID = id
		kept, err := fetch(ctx, l.worker.store, at)
		switch {
		case errors.Is(err, store.ErrNotFound), errors.Is(err, result.ErrDamaged):
			continue
		case err != nil:
			return nil, err
		}
		if secret := len(kept.Request) == 0 && l.secretBody(); secret || bytes.Equal(kept.Request, l.delivery.Body) {
			found = append(found, equal{kept, at, handleOf(kept)})
		}
	}
	return found, nil
}

func handleOf(r result.Result) string {
	if !lease.Handle.MatchString(r.Handle) {
		return ""
	}
	return r.Handle
}

// fetch reads a result.
func fetch(ctx context.Context, s store.Store, at result.Location) (result.Result, error) {
	body, _, err := s.Get(ctx, at.Container, at.Object(result.TarObject))
	if err != nil {
		return result.Result{}, err
	}
	defer func() { _ = body.Close() }()
	kept, err := result.ReadTar(body)
	if err != nil {
		return result.Result{}, fmt.Errorf("%s in %s: %w", at.Object(result.TarObject), at.Container, err)
	}
	return kept, nil
}
