package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// store puts the result where readers find it. It keeps trying for as long as the store is away; the result lies in the
// spool meanwhile, and a crash at any point leaves it there.
func (l *life) store(ctx context.Context) State {
	done := l.persist(ctx, "storing the result", l.invalid, func(ctx context.Context) error {
		if theirs, _, err := l.overtaken(ctx, ""); theirs || err != nil {
			return err // before a large upload
		}
		at := l.at
		theirs, err := l.worker.order.publish(ctx, l.worker.store, l.parcel, &at, l.overtaken)
		if err != nil || theirs {
			if err != nil {
				l.at = at // the next try goes on with it
			}
			return err
		}
		l.at = at
		l.log.Info("result stored", "run_id", string(at.RunID), "container", at.Container, "exitcode", l.result.ExitCode)
		return nil
	})
	switch {
	case done:
		return Announce
	case l.refused != nil:
		return Reject
	}
	return Handback
}

// invalid ends the trying when the store will never take the result.
func (l *life) invalid(err error) bool {
	if !errors.Is(err, store.ErrInvalid) {
		return false
	}
	l.refused = err
	return true
}

// announceLimit bounds one attempt to publish the completion message.
const announceLimit = time.Minute

// announce tells that there is a result. The broker's confirm is waited for: then the message is as safe as the result.
func (l *life) announce(ctx context.Context) State {
	body, err := queue.NewCompletion(l.at, l.request, l.result).Body()
	if err != nil {
		l.log.Error("the completion message cannot be written; collectors find the result by listing the store", "error", err)
		l.unspool()
		return Ack
	}
	done := l.persist(ctx, "announcing the result", never, func(ctx context.Context) error {
		session, err := l.worker.broker.get(ctx)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeoutCause(ctx, announceLimit, errors.New("no confirm in time"))
		defer cancel()
		err = session.Publish(ctx, queue.CompletionExchange, "", body, true)
		if errors.Is(err, queue.ErrNoQueue) { // somebody deleted the exchange
			return errors.Join(err, session.DeclareExchanges(ctx))
		}
		return err
	})
	if !done {
		return Handback
	}
	l.unspool()
	return Ack
}

// order publishes results such that the run ids of a package only ever grow: the gatekeeper asks for results with greater
// ids than it has seen, so one that becomes visible below another is never read.
//
// Within this process that is certain. Between workers it holds because each goes above what the store lists, twice: when
// it takes an id, and again just before result.tar makes the result visible. Two workers that publish results of one
// package within the same few milliseconds could still pass each other, and with equal requests in the same second even
// take the same id; noticing that takes a look after the fact.
type order struct {
	given func(result.RunID) // told of each run id before anybody can see it

	mu       sync.Mutex
	packages map[string]*packageOrder
}

// packageOrder is the order of one package's results. Its lock is a channel, which a context can leave.
type packageOrder struct {
	lock  chan struct{}
	users int
	last  time.Time // of the last run id given out
}

func newOrder(given func(result.RunID)) *order {
	return &order{given: given, packages: map[string]*packageOrder{}}
}

// hold takes the package's lock. The returned function gives it back.
func (o *order) hold(ctx context.Context, prefix string) (*packageOrder, func(), error) {
	o.mu.Lock()
	p := o.packages[prefix]
	if p == nil {
		p = &packageOrder{lock: make(chan struct{}, 1)}
		o.packages[prefix] = p
	}
	p.users++
	o.mu.Unlock()
	leave := func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		p.users--
		for name, other := range o.packages {
			// An id that lies in the past cannot be given out again, so it need not be remembered.
			if other.users == 0 && time.Since(other.last) > time.Second {
				delete(o.packages, name)
			}
		}
	}
	select {
	case p.lock <- struct{}{}:
		return p, func() { <-p.lock; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, nil, context.Cause(ctx)
	}
}

// listLimit bounds a listing.
const listLimit = 2 * time.Minute

// publish stores a parcel's objects. The location is kept in at, which a repeated call starts from: an id that was taken
// before and is still the greatest is used again, and so are its objects overwritten. When all but result.tar is there,
// overtaken is asked whether somebody else's result counts; if so, publish makes none and reports true. Run ids whose
// owners wait for this result do not matter to its order: nothing will be stored there.
func (o *order) publish(ctx context.Context, s store.Store, p parcel, at *result.Location,
	overtaken func(context.Context, result.RunID) (bool, []result.RunID, error),
) (theirs bool, err error) {
	prefix := result.PackagePrefix(p.queue.Release, p.queue.Architecture, p.pkg)
	mine, release, err := o.hold(ctx, p.container+"/"+prefix)
	if err != nil {
		return false, err
	}
	defer release()
	for {
		if err := o.allocate(ctx, s, p, mine, at); err != nil {
			return false, err
		}
		for _, object := range p.objects[:len(p.objects)-1] {
			if err := put(ctx, s, p, *at, object); err != nil {
				return false, err
			}
		}
		theirs, rivals, err := overtaken(ctx, at.RunID)
		if theirs || err != nil {
			return theirs, err
		}
		// The upload may have taken minutes.
		greater, err := greatest(ctx, s, p, string(at.RunID), rivals...)
		if err != nil {
			return false, err
		}
		if greater == "" {
			return false, put(ctx, s, p, *at, p.objects[len(p.objects)-1])
		}
	}
}

// allocate gives the parcel a run id that is greater than all others of its package.
func (o *order) allocate(ctx context.Context, s store.Store, p parcel, mine *packageOrder, at *result.Location) error {
	if at.RunID != "" {
		greater, err := greatest(ctx, s, p, string(at.RunID))
		if err != nil || greater == "" {
			return err
		}
	}
	when := time.Now().UTC().Truncate(time.Second)
	if !when.After(mine.last) {
		when = mine.last.Add(time.Second)
	}
	// Listed from the beginning of this second: what is older does not matter, and a package has thousands of runs.
	greater, err := greatest(ctx, s, p, second(when))
	if err != nil {
		return err
	}
	if greater != "" {
		latest, err := greater.Time()
		if err != nil {
			return fmt.Errorf("allocate a run id: %w", err)
		}
		when = latest.Add(time.Second)
	}
	mine.last = when
	*at = result.Location{
		Container: p.container, Release: p.queue.Release, Architecture: p.queue.Architecture, Package: p.pkg,
		RunID: result.NewRunID(when, p.body, p.queue.Architecture, p.queue.Release),
	}
	o.given(at.RunID)
	return nil
}

// second is the text that all run ids of a second, and of later ones, are greater than.
func second(t time.Time) string { return t.UTC().Format("20060102_150405") }

// greatest returns the greatest run id of the parcel's package above a given one, empty if there is none but those to be
// ignored. A container that is missing is made.
func greatest(ctx context.Context, s store.Store, p parcel, above string, ignored ...result.RunID) (result.RunID, error) {
	ids, err := runs(ctx, s, p.container, p.queue.Release, p.queue.Architecture, p.pkg, above)
	if errors.Is(err, store.ErrNotFound) {
		within, cancel := context.WithTimeout(ctx, listLimit)
		defer cancel()
		return "", s.CreateContainer(within, p.container, p.public)
	}
	if err != nil {
		return "", err
	}
	ids = slices.DeleteFunc(ids, func(id result.RunID) bool { return slices.Contains(ignored, id) })
	if len(ids) == 0 {
		return "", nil
	}
	return ids[len(ids)-1], nil
}

// runs lists the run ids of a package above a given text, ascending.
func runs(ctx context.Context, s store.Store, container, release, arch, pkg, above string) ([]result.RunID, error) {
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	prefix := result.PackagePrefix(release, arch, pkg)
	var ids []result.RunID
	for entry, err := range store.Walk(ctx, s, container, prefix, "@", prefix+above) {
		if err != nil {
			return nil, err
		}
		id := result.RunID(strings.TrimPrefix(entry.Name, prefix))
		if entry.Subdirectory && id.Valid() && string(id) > above {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// put stores one object of a parcel.
func put(ctx context.Context, s store.Store, p parcel, at result.Location, o object) error {
	file, err := os.Open(p.path(o.name))
	if err != nil {
		return fmt.Errorf("read the parcel: %w", err)
	}
	defer func() { _ = file.Close() }()
	ctx, cancel := context.WithTimeout(ctx, putLimit(o.size))
	defer cancel()
	return s.Put(ctx, at.Container, at.Object(o.name), file, o.size, o.properties)
}

// putLimit bounds one upload: slower than 256 KiB a second is a connection that is better made anew.
func putLimit(size int64) time.Duration {
	return 2*time.Minute + time.Duration(size/(256<<10))*time.Second
}
