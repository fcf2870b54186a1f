package lease

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
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

// Standing is what a life knows about its lease.
type Standing int

// The standings.
const (
	Unwritten Standing = iota // nobody else has ever seen it, or only as one that waits
	Held                      // it is ours
	Lost                      // somebody has taken it over, or has settled the request
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

const (
	// newsPause is how long news wait to be written: most lives are over by then.
	newsPause = 200 * time.Millisecond
	// againPause is the wait after a write that failed, at first; it doubles.
	againPause = time.Second
)

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

// Write writes the lease and returns its standing: only one that is held was written. Whoever publishes a result makes sure
// of it: a result that names a life without a lease would be taken for that of a settled request.
func (k *Lease) Write(ctx context.Context) (Standing, error) {
	release, err := k.occupy(ctx)
	if err != nil {
		return Unwritten, err
	}
	defer release()
	return k.write(ctx)
}

// write needs the lease occupied. A lease that may look dead is written as one that is taken over (see Take): somebody may do
// that in the same moment.
func (k *Lease) write(ctx context.Context) (Standing, error) {
	began := time.Now()
	if standing, err := k.check(ctx); err != nil || standing == Lost {
		return standing, err
	}
	k.mu.Lock()
	k.content.Beat++
	doubtful := k.tried && !k.fresh()
	k.tried, k.quiet = true, false
	content, object, first := k.content, k.record.Object, !k.written
	k.mu.Unlock()
	if doubtful {
		if err := k.rewrite(ctx, object, content, began); err != nil {
			return Unwritten, err
		}
	} else if err := put(ctx, k.registry.store, object, content); err != nil {
		return Unwritten, err
	}
	k.mu.Lock()
	k.written, k.last, k.ended = true, began, content.Ended
	k.mu.Unlock()
	if first {
		k.note()
	}
	return Held, nil
}

// errOvertaken: the next look finds out who has the lease.
var errOvertaken = errors.New("somebody else has written the lease of the request at the same moment")

func (k *Lease) rewrite(ctx context.Context, object string, content Content, began time.Time) error {
	within, cancel := context.WithDeadlineCause(ctx, began.Add(takeLimit), errors.New("no answer in time"))
	defer cancel()
	if err := put(within, k.registry.store, object, content); err != nil {
		return err
	}
	if !sleep(ctx, takePause) {
		return context.Cause(ctx)
	}
	now, err := get(ctx, k.registry.store, object)
	if err == nil && !now.equal(content) {
		err = errOvertaken
	}
	return err
}

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

// End tells the keeper what becomes of the lease. The first word counts.
func (k *Lease) End(f Fate) {
	k.once.Do(func() {
		k.fate = f
		close(k.quit)
	})
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
