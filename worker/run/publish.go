package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// order publishes results such that the run ids of a package only ever grow in the order in which readers can see the
// results: the gatekeeper asks for results with greater ids than it has seen, so one that becomes visible below another is
// never read.
//
// Within this process that is certain. Between workers each goes above what the store lists, twice: when it takes an id, and
// again before result.tar makes the result visible, if that is not a moment later. Two that publish results of one package
// within the same moment can still pass each other; so each looks once more when its result is visible, and moves it above
// what may have been there before: readable under a new id first, then gone from the old one.
type order struct {
	mu       sync.Mutex
	packages map[string]*packageOrder
	ahead    map[string]error // life → why its result cannot be published now
}

// packageOrder is the order of one package's results. Its lock is a channel, which a context can leave.
type packageOrder struct {
	lock  chan struct{}
	users int
	last  time.Time // of the last run id given out
}

func newOrder() *order {
	return &order{packages: map[string]*packageOrder{}, ahead: map[string]error{}}
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

// listingAge is how old the listing may be by which a run id was chosen when result.tar is stored under it. Moving a result
// above another one costs more than a listing, and is very rarely needed after so short a time.
const listingAge = 500 * time.Millisecond

// maxMoves is how often one try moves a result above others. Two that chase each other part in the pause before the next.
const maxMoves = 3

// publish stores a parcel's objects, and returns when its result is visible above all that was visible before it. What was
// done is kept in the publication, which a repeated call starts from.
func (o *order) publish(ctx context.Context, s store.Store, p parcel, done *publication, claim claim) error {
	prefix := result.PackagePrefix(p.queue.Release, p.queue.Architecture, p.pkg)
	mine, release, err := o.hold(ctx, p.container+"/"+prefix)
	if err != nil {
		return err
	}
	defer release()
	for moves := 0; ; moves++ {
		visible, err := done.visible(ctx, s)
		if err != nil {
			return err
		}
		if !visible {
			if err := o.upload(ctx, s, p, mine, done, claim); err != nil {
				return err
			}
		}
		if ours, err := done.sole(ctx, s); err != nil {
			return err
		} else if !ours {
			continue
		}
		if done.crowded && !done.seen {
			// The log may be that of the one who has left.
			for _, object := range p.objects[:len(p.objects)-1] {
				if err := put(ctx, s, p, done.at, object); err != nil {
					return err
				}
			}
		}
		done.seen = true
		// Whoever took the request over meanwhile has this result to judge, too.
		if err := claim.ours(ctx); err != nil {
			return err
		}
		passed, err := done.passedOnceListed(ctx, s)
		if err != nil {
			return err
		}
		if !passed {
			if err := done.clear(ctx, s); err != nil {
				return err
			}
			claim.inOrder(done.at.RunID)
			done.settled = true
			return p.rememberSettled()
		}
		if moves == maxMoves {
			return fmt.Errorf("another worker's results of %s became visible before ours %d times", p.pkg, moves+1)
		}
		done.leave()
		done.moved++
	}
}

// claim is what a publication knows of its right to be one, and of equal requests: those of other workers take the same run
// id if they are published in the same second.
type claim interface {
	// ours is nil while nobody else answers for the request.
	ours(ctx context.Context) error
	// crowded reports whether another worker has an equal request in work.
	crowded(ctx context.Context) (bool, error)
	// inOrder is told the run id under which readers are sure to see the result.
	inOrder(id result.RunID)
}

// upload makes the parcel readable under a run id that is greater than all others of its package.
func (o *order) upload(ctx context.Context, s store.Store, p parcel, mine *packageOrder, done *publication, claim claim) error {
	for {
		if err := o.allocate(ctx, s, p, mine, done); err != nil {
			return err
		}
		if err := p.rememberRunID(done.at.RunID); err != nil {
			return err
		}
		if err := o.uploadBeside(ctx, s, p, done, claim); err != nil {
			return err
		}
		// The upload may have taken minutes. What comes between within a moment is found by the look afterwards.
		if time.Since(done.listed) > listingAge {
			greater, err := greatest(ctx, s, p, string(done.at.RunID))
			if err != nil {
				return err
			}
			if greater != "" {
				continue
			}
		}
		if done.crowded {
			if owner, there, err := done.owner(ctx, s); err != nil {
				return err
			} else if there && owner != done.handle {
				done.yield()
				continue
			}
		}
		if err := claim.ours(ctx); err != nil {
			return err
		}
		done.sent = time.Now()
		if err := put(ctx, s, p, done.at, p.objects[len(p.objects)-1]); err != nil {
			return err
		}
		done.took = max(time.Since(done.sent), 1)
		return nil
	}
}

// uploadBeside stores all but result.tar, at the same time: no reader looks at it yet. Meanwhile it asks whether somebody
// else might take the run id.
func (o *order) uploadBeside(ctx context.Context, s store.Store, p parcel, done *publication, claim claim) error {
	crowded := false
	together, within := errgroup.WithContext(ctx)
	// Asked once the id is taken: of two, one at least sees the other's lease.
	together.Go(func() (err error) {
		crowded, err = claim.crowded(within)
		return err
	})
	for _, object := range p.objects[:len(p.objects)-1] {
		together.Go(func() error { return put(within, s, p, done.at, object) })
	}
	err := together.Wait()
	done.crowded = done.crowded || crowded
	return err
}

// allocate gives the parcel a run id that is greater than all others of its package.
func (o *order) allocate(ctx context.Context, s store.Store, p parcel, mine *packageOrder, done *publication) error {
	done.listed = time.Now() // what becomes visible while it is listed may be missed
	if done.at.RunID != "" {
		greater, err := greatest(ctx, s, p, string(done.at.RunID))
		if err != nil || greater == "" {
			return err
		}
		done.leave()
	}
	when := time.Now().UTC().Truncate(time.Second)
	if !when.After(mine.last) {
		when = mine.last.Add(time.Second)
	}
	seen := done.glimpse
	done.glimpse = nil // whoever comes here again has been overtaken since
	greater, known := seen.above(ctx, when)
	if known {
		done.listed = seen.began
	} else {
		// Listed from the beginning of this second: what is older does not matter, and a package has thousands of runs.
		var err error
		if greater, err = greatest(ctx, s, p, second(when)); err != nil {
			return err
		}
	}
	if greater != "" {
		latest, err := greater.Time()
		if err != nil {
			return fmt.Errorf("allocate a run id: %w", err)
		}
		if err := checkAhead(p, greater, latest); err != nil {
			return err
		}
		when = latest.Add(time.Second)
	}
	mine.last = when
	done.at = result.Location{
		Container: p.container, Release: p.queue.Release, Architecture: p.queue.Architecture, Package: p.pkg,
		RunID: result.NewRunID(when, p.body, p.queue.Architecture, p.queue.Release),
	}
	return nil
}

// second is the text that all run ids of a second, and of later ones, are greater than.
func second(t time.Time) string { return t.UTC().Format("20060102_150405") }

// greatest returns the greatest run id of the parcel's package above a given one, empty if there is none. A container that is
// missing is made.
func greatest(ctx context.Context, s store.Store, p parcel, above string) (result.RunID, error) {
	ids, err := runs(ctx, s, p.container, p.queue.Release, p.queue.Architecture, p.pkg, above)
	if errors.Is(err, store.ErrNotFound) {
		within, cancel := context.WithTimeout(ctx, listLimit)
		defer cancel()
		return "", s.CreateContainer(within, p.container, p.public, p.readers...)
	}
	if err != nil {
		return "", err
	}
	if len(ids) == 0 {
		return "", nil
	}
	return ids[len(ids)-1], nil
}

// afterAt is the character after "@", with which run ids end.
const afterAt = "A"

// runs lists the run ids of a package above a given text, ascending.
func runs(ctx context.Context, s store.Store, container, release, arch, pkg, above string) ([]result.RunID, error) {
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	prefix := result.PackagePrefix(release, arch, pkg)
	marker := prefix + above
	if id, whole := strings.CutSuffix(marker, "@"); whole {
		marker = id + afterAt // past all that lies under that run id, which would be listed as well
	}
	var ids []result.RunID
	for entry, err := range store.Walk(ctx, s, container, prefix, "@", marker) {
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
	limit := putLimit(o.size)
	if o.name == result.TarObject {
		limit = tarLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return s.Put(ctx, at.Container, at.Object(o.name), file, o.size, o.properties)
}

// putLimit bounds one upload: slower than 256 KiB a second is a connection that is better made anew.
func putLimit(size int64) time.Duration {
	return 2*time.Minute + time.Duration(size/(256<<10))*time.Second
}

// tarLimit bounds the upload of result.tar, which is small: it must not become readable long after its worker was taken for
// dead.
const tarLimit = 30 * time.Second
