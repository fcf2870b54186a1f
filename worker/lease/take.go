package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

const (
	// takeLimit bounds the moment in which a lease is looked at and written over.
	takeLimit = 4 * time.Second
	// takePause is how long a life waits before it believes that it has taken a lease over: others who wanted it in the same
	// moment have written theirs by then, and the last one counts.
	takePause = takeLimit + time.Second
	// claimPause is the same for a new lease.
	claimPause = 2 * time.Second
)

// Take takes over the lease of a life that is over, and all that it stands for; our own goes. It reports whether that
// succeeded; if not, somebody else was faster, or its life is not over after all. A crash in the middle leaves a lease that
// looks dead in a minute, and then the next one takes it over.
func (k *Lease) Take(ctx context.Context, other Other) (bool, error) {
	release, err := k.occupy(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	s := k.registry.store
	k.mu.Lock()
	k.content.Beat++
	content := other.succeeded(k.content)
	content.Silent = other.Silent || !other.Ended && other.Worker != k.content.Worker
	own, tried := k.record.Object, k.tried
	k.mu.Unlock()
	began := time.Now()
	if written, err := overwrite(ctx, s, other, content); err != nil || !written {
		return false, err
	}
	if !sleep(ctx, takePause) {
		return false, context.Cause(ctx)
	}
	now, err := get(ctx, s, other.Object)
	if errors.Is(err, store.ErrNotFound) || err == nil && now.Handle != content.Handle {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	k.mu.Lock()
	k.content, k.record.Object = content, other.Object
	k.tried, k.written, k.quiet, k.last, k.taken = true, true, false, began, time.Now()
	k.mu.Unlock()
	k.note()
	if tried {
		if err := remove(ctx, s, own); err != nil { // it says that somebody waits, and looks dead in a minute
			k.log.Debug("the lease of a request that waited is not removed yet", "error", err)
			k.mu.Lock()
			k.beside = own
			k.mu.Unlock()
		}
	}
	return true, nil
}

// overwrite writes a lease over another one, if that has not changed.
func overwrite(ctx context.Context, s store.Store, other Other, content Content) (bool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, takeLimit, errors.New("no answer in time"))
	defer cancel()
	switch now, err := get(ctx, s, other.Object); {
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case !now.equal(other.Content):
		return false, nil
	}
	if err := put(ctx, s, other.Object, content); err != nil {
		return false, fmt.Errorf("take over %s: %w", other.Object, err)
	}
	return true, nil
}

// Claim makes the waiting lease one that works, if there is no other. Of two that claim in the same moment, the one with the
// lower name goes on. It reports whether that is ours.
func (k *Lease) Claim(ctx context.Context, others *Watch) (bool, error) {
	k.set(func(c *Content) { c.Waiting, c.Claiming = true, true })
	ours, err := k.claim(ctx, others)
	k.set(func(c *Content) { c.Waiting, c.Claiming = !ours, false })
	if err != nil || !ours {
		return false, err
	}
	standing, err := k.Write(ctx)
	if err != nil || standing != Held {
		k.set(func(c *Content) { c.Waiting = true })
		return false, err
	}
	return true, nil
}

func (k *Lease) claim(ctx context.Context, others *Watch) (bool, error) {
	if standing, err := k.Write(ctx); err != nil || standing != Held {
		return false, err
	}
	if !sleep(ctx, claimPause) {
		return false, context.Cause(ctx)
	}
	found, err := others.Others(ctx)
	if err != nil {
		return false, err
	}
	for _, other := range found {
		if !other.Waiting || other.Claiming && other.Object < k.Object() {
			return false, nil
		}
	}
	return true, nil
}
