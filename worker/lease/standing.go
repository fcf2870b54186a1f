package lease

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// Standing is what a life knows about its lease.
type Standing int

// The standings.
const (
	Unwritten Standing = iota // nobody else has ever seen it, or only as one that waits
	Held                      // it is ours
	Lost                      // somebody has taken it over, or has settled the request
)

// Standing tells whether the lease is ours, at a moment after the call.
func (k *Lease) Standing(ctx context.Context) (Standing, error) {
	release, err := k.occupy(ctx)
	if err != nil {
		return Unwritten, err
	}
	defer release()
	return k.check(ctx)
}

// check needs the lease occupied. It asks the store only when somebody may have taken the lease over.
func (k *Lease) check(ctx context.Context) (Standing, error) {
	k.mu.Lock()
	lost, fresh := k.lost, k.fresh()
	tried, written, waiting, object := k.tried, k.written, k.content.Waiting, k.record.Object
	k.mu.Unlock()
	switch {
	case lost:
		return Lost, nil
	case fresh:
		return Held, nil
	case !tried:
		return Unwritten, nil
	}
	now, err := get(ctx, k.registry.store, object)
	missing := errors.Is(err, store.ErrNotFound)
	if err != nil && !missing {
		return Unwritten, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case missing && (waiting || !written): // one that waits is removed by whoever takes its life for dead, and no loss
		return Unwritten, nil
	case missing || now.Handle != k.content.Handle:
		k.lost = true
		return Lost, nil
	}
	k.written = true
	k.content.Beat = max(k.content.Beat, now.Beat)
	if k.quiet { // the worker before this one knew these
		k.content.Lives, k.content.Silent, k.quiet = now.Lives, now.Silent, false
		k.content.Published = cmp.Or(k.content.Published, now.Published)
		if len(now.Lives) > 0 {
			k.taken = time.Now()
		}
	}
	if now.Waiting && !waiting { // the worker before this one was killed while it claimed
		return Unwritten, nil
	}
	return Held, nil
}

// fresh reports whether nobody can have taken the lease over. It needs the lock.
func (k *Lease) fresh() bool { return !k.last.IsZero() && time.Since(k.last) < certain }
