package lease

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// How a lease shows that its worker lives.
const (
	// Beat is how often it is written.
	Beat = 20 * time.Second
	// Lifetime is for how long others see no change before they take it for dead.
	Lifetime = 60 * time.Second
	// certain is for how long after a write nobody can have taken it over, also if another write is under way by then.
	certain = Lifetime - putLimit - 5*time.Second
)

// Lease is the one of a life. Its goroutine, the keeper, writes it; the life waits for that only where it asks.
type Lease struct {
	registry *Registry
	log      *slog.Logger
	request  Identity
	writing  chan struct{} // holds a token while free: who reads, writes or removes the object

	mu      sync.Mutex
	content Content
	record  record    // and the object's name
	tried   bool      // it may be in the store
	written bool      // it has been
	last    time.Time // when the last write that succeeded was begun, by this process
	ended   bool      // that one said that the life is over
	quiet   bool      // the keeper writes nothing until the standing is known
	lost    bool
	beside  string    // our own object, from before another was taken over, if it could not be removed then
	taken   time.Time // when it was taken over from another life; zero if it was not

	session <-chan struct{} // closed when that in which the message is settled is lost; nil until then

	news chan struct{} // others should know before the next beat
	quit chan struct{}
	once sync.Once
	fate Fate
}

// note notes the lease down where the next start of the worker finds it.
func (k *Lease) note() {
	k.mu.Lock()
	r := k.record
	r.Written, r.Published, r.Doubtful = k.written, k.content.Published, k.content.Doubtful
	k.mu.Unlock()
	if err := r.write(); err != nil {
		k.log.Warn("the lease is not noted down: when this worker crashes, others wait a minute longer", "error", err)
	}
}

// Publish notes the run id under which the result is readable, in order. Others know in a moment.
func (k *Lease) Publish(runID string) {
	k.set(func(c *Content) { c.Published = runID })
	k.note()
	select {
	case k.news <- struct{}{}:
	default:
	}
}

// Settle is called before the message is acknowledged. Whoever finds the lease of a worker that was killed then cannot tell
// whether the message is still to come.
func (k *Lease) Settle() {
	lost := k.registry.sessionLost()
	k.mu.Lock()
	k.content.Doubtful, k.session = true, lost
	k.mu.Unlock()
	k.note()
}

// Before are the handles of the lives that had the lease before, whose results belong to the same request, and the time from
// which on no other of them can appear, when an upload takes a given time at most. It is zero if all of them are known to be
// over.
func (k *Lease) Before(upload time.Duration) (handles []string, quiet time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.content.Silent {
		quiet = k.taken.Add(upload)
	}
	return slices.Clone(k.content.Lives), quiet
}

// Waits reports whether the lease is one that waits: neither Take nor Claim has succeeded yet.
func (k *Lease) Waits() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.content.Waiting
}

// Object is the name of the lease in its container.
func (k *Lease) Object() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.record.Object
}

func (k *Lease) handle() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.content.Handle
}

func (k *Lease) set(change func(*Content)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&k.content)
}

// occupy makes sure that what is done with the object is done one after the other.
func (k *Lease) occupy(ctx context.Context) (release func(), err error) {
	select {
	case <-k.writing:
		return func() { k.writing <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// sleep waits for the duration, or until the context ends: then it reports false.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
