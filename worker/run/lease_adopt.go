package run

import (
	"context"
	"errors"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// adoptPause is how long a life waits before it believes that it has taken over a lease: others who wanted it at the same
// moment have written theirs by then, and the last one counts.
const adoptPause = 2 * time.Second

// adopt takes over the lease of a life that is over and whose result is in the store, so that no other request with the same
// bytes takes that result for its own. It reports whether that succeeded. A crash in the middle leaves a lease that looks
// dead in a minute, and then the next one takes it over.
func (k *lease) adopt(ctx context.Context, object string) (bool, error) {
	release, err := k.occupy(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	k.mu.Lock()
	k.content.Beat++
	content := k.content
	k.mu.Unlock()
	content.Waiting = false
	if err := putLease(ctx, k.store, object, content); err != nil {
		return false, err
	}
	if !sleep(ctx, adoptPause) {
		return false, context.Cause(ctx)
	}
	now, err := getLease(ctx, k.store, object)
	if errors.Is(err, store.ErrNotFound) || err == nil && now.Handle != content.Handle {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	k.mu.Lock()
	k.object = object
	k.content.Waiting = false
	k.mu.Unlock()
	k.remember()
	return true, nil
}

// replaces notes leases of lives that are over and left no result. They go when our message is settled, not before: a result
// that a listing is late to show must not lose its lease.
func (k *lease) replaces(objects []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.beside = objects
}

// adopted reports whether the life stands in for another one.
func (k *lease) adopted() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.object != k.own
}
