package lease

import (
	"context"
	"time"
)

const (
	// newsPause is how long news wait to be written: most lives are over by then.
	newsPause = 200 * time.Millisecond
	// againPause is the wait after a write that failed, at first; it doubles.
	againPause = time.Second
)

// Keep starts the lease's keeper, who writes it until End is called, and then does what its fate is.
func (k *Lease) Keep() {
	r, handle := k.registry, k.handle()
	r.mu.Lock()
	r.kept[handle] = struct{}{}
	r.mu.Unlock()
	r.keepers.Go(func() {
		k.keep(r.background)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.kept, handle)
	})
}

// keep writes the lease until its life has ended, and then does what its fate is. The context bounds all of that.
func (k *Lease) keep(ctx context.Context) {
	k.note()
	ticker := time.NewTicker(Beat)
	defer ticker.Stop()
	var soon <-chan time.Time
	again := againPause
	tell := func() {
		if k.tell(ctx) {
			again = againPause
			return
		}
		soon = time.After(again)
		again = min(2*again, Beat)
	}
	tell()
	for {
		select {
		case <-ticker.C:
		case <-soon:
			soon = nil
		case <-k.news:
			soon = time.After(newsPause)
			continue
		case <-k.quit:
			k.farewell(ctx)
			return
		case <-ctx.Done():
			return
		}
		tell()
	}
}

// tell is a beat. One that fails is made up for by the next, which the keeper has come soon: as long as a lease was never written, nobody
// knows that the request is in work.
func (k *Lease) tell(ctx context.Context) (ok bool) {
	err := k.beat(ctx)
	if err != nil {
		k.log.Debug("the lease of the request was not written", "error", err)
	}
	return err == nil
}

func (k *Lease) beat(ctx context.Context) error {
	k.mu.Lock()
	quiet := k.quiet
	k.mu.Unlock()
	if quiet {
		return nil
	}
	_, err := k.Write(ctx)
	return err
}
