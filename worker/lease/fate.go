package lease

import (
	"context"
	"time"
)

// Fate is what becomes of a lease when its life ends.
type Fate int

// The fates.
const (
	Over    Fate = iota // nothing was published, or the request is rejected: the lease goes
	Settled             // the message is acknowledged: the lease goes once the broker cannot have forgotten that
	Ended               // a result was published, but the message is somebody else's now, who has to find it
	Kept                // the next start of the worker goes on with it
)

// End tells the keeper what becomes of the lease. The first word counts.
func (k *Lease) End(f Fate) {
	k.once.Do(func() {
		k.fate = f
		close(k.quit)
	})
}

// farewellLimit is how long the end of a lease is tried for. One that stays behind looks dead to everybody in a minute, and
// is put right by the next start of the worker.
const farewellLimit = 10 * time.Minute

func (k *Lease) farewell(ctx context.Context) {
	fate := k.fate
	switch fate {
	case Kept:
		return
	case Settled:
		fate = k.linger(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, farewellLimit)
	defer cancel()
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		err := k.part(ctx, fate)
		if err == nil {
			if err := k.record.remove(); err != nil {
				k.log.Warn("the record of a lease is left behind; the next start of the worker removes it", "error", err)
			}
			return
		}
		if !sleep(ctx, pause) {
			k.log.Warn("the lease of a request that is done is left behind; the next start of the worker puts it right", "error", err)
			return
		}
	}
}

// sayLimit bounds a write that a stopping worker waits for.
const sayLimit = 3 * time.Second

// recalling is how long a broker that was killed may take to give out what it has forgotten to be acknowledged.
const recalling = 5 * time.Minute

// linger keeps the lease of a settled request for a while: a broker that is killed forgets the acknowledgements of its last
// moments, and gives the messages out again. When the session is lost meanwhile, the lease says that it is over, so whoever
// gets the message finds the result. Otherwise it goes before it can look dead to others: 15 to 35 seconds after the
// acknowledgement. It returns what is to become of the lease then: a worker that stops while the broker may still give the
// message out leaves it, ended.
func (k *Lease) linger(ctx context.Context) Fate {
	r := k.registry
	k.mu.Lock()
	certainly, session := time.Until(k.last.Add(certain)), k.session
	if k.last.IsZero() { // a life that was resumed a moment ago, whose lease the process before this one has written
		certainly = certain
	}
	k.mu.Unlock()
	timer := time.NewTimer(certainly)
	defer timer.Stop()
	// The acknowledgement may be lost with this worker, and its disk, too: whoever gets the message then shall know of the result.
	within, cancel := context.WithTimeout(ctx, sayLimit)
	k.tell(within)
	cancel()
	select {
	case <-timer.C:
	case <-r.leaving:
	case <-ctx.Done():
	case <-session:
	}
	select {
	case <-session: // that counts, also when we come late to it
	default:
		return Settled
	}
	k.set(func(c *Content) { c.Ended = true })
	timer.Reset(recalling)
	for pause := time.Second; ; pause = min(2*pause, Beat) {
		if _, err := k.Write(ctx); err == nil {
			break
		}
		select {
		case <-time.After(pause):
		case <-r.leaving:
			return Ended
		case <-timer.C:
			return Settled
		}
	}
	select {
	case <-timer.C:
		return Settled
	case <-r.leaving:
	case <-ctx.Done():
	}
	return Ended
}

// part ends the lease in the store, if it is ours to end.
func (k *Lease) part(ctx context.Context, fate Fate) error {
	release, err := k.occupy(ctx)
	if err != nil {
		return err
	}
	defer release()
	k.mu.Lock()
	beside := k.beside
	k.mu.Unlock()
	if beside != "" {
		if err := remove(ctx, k.registry.store, beside); err != nil {
			return err
		}
	}
	if fate == Ended {
		k.mu.Lock()
		k.content.Ended = true
		said := k.ended
		k.mu.Unlock()
		if said {
			return nil
		}
		_, err := k.write(ctx)
		return err
	}
	standing, err := k.check(ctx)
	if err != nil {
		return err
	}
	k.mu.Lock()
	tried, object := k.tried, k.record.Object
	k.mu.Unlock()
	if standing == Lost || !tried {
		return nil
	}
	return remove(ctx, k.registry.store, object)
}
