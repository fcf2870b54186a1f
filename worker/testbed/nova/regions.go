package nova

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// avoided is for how long a run does not return to a region that failed it, if there is another one.
const avoided = time.Hour

// regions are where testbeds are made: it knows which of them have room, which are out of service, and spreads testbeds over them. Safe
// for concurrent use. What it tells of a region it has read before; Tend keeps that fresh.
type regions struct {
	sessions openstack.Sessions
	now      func() time.Time
	settings testbed.BreakerSettings
	// look reads a region's quota, and what testbeds of there want; a test replaces it.
	look func(ctx context.Context, source string, wanted []wish) (reading, error)

	mu      sync.Mutex
	log     *slog.Logger
	known   map[string]*region // by source
	order   []string
	shunned map[shun]time.Time
	woken   chan struct{} // has an entry when somebody wants to know more
}

// shun is a run that had a region fail.
type shun struct{ run, source string }

func newRegions() *regions {
	r := &regions{
		now: time.Now, log: slog.Default(), known: map[string]*region{}, shunned: map[shun]time.Time{},
		woken: make(chan struct{}, 1),
	}
	r.look = r.readRegion
	return r
}

// sources are a testbed's regions.
func sources(of config.NovaTestbed) []string {
	if len(of.RCFiles) == 0 {
		return []string{environment}
	}
	return of.RCFiles
}

// get needs the lock.
func (r *regions) get(source string) *region {
	one := r.known[source]
	if one == nil {
		one = &region{breaker: testbed.NewBreaker(r.settings, r.now), wanted: map[wish]bool{}}
		one.last.name = sourceName(source)
		r.known[source] = one
		r.order = append(r.order, source)
	}
	return one
}

// sourceName is the name of the region that a source leads to; where it names none, or cannot be read, it is the source.
func sourceName(source string) string {
	if cloud, err := readCloud(source); err == nil && cloud.Region != "" {
		return cloud.Region
	}
	return cmp.Or(source, "the environment's region")
}

// room fails with a testbed.ErrNoRoom unless some region has room for a testbed.
func (r *regions) room(of config.NovaTestbed) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var reasons []error
	stale := false
	for _, source := range sources(of) {
		one := r.get(source)
		one.want(wishOf(of), r.now())
		one.ordinary = of.Flavor
		stale = stale || r.now().Sub(one.read) >= one.believed(r.now())
		_, err := one.usable(of.Flavor)
		if err != nil {
			reasons = append(reasons, fmt.Errorf("%s: %w", one.last.name, err))
		}
	}
	if stale {
		r.wake()
	}
	if len(reasons) < len(sources(of)) {
		return nil
	}
	return fmt.Errorf("%w: %w", testbed.ErrNoRoom, errors.Join(reasons...))
}

// choose finds the region for a run's next testbed, and counts it; with it comes what is known of what the testbed is made of there. A
// run goes where it has not failed, then where least has failed, then where there is most room. Regions that nobody has read yet are
// taken as they come.
func (r *regions) choose(of config.NovaTestbed, run string) (source string, made Choice, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	type candidate struct {
		source         string
		shunned        int
		failures, room int
	}
	var candidates []candidate
	var reasons []error
	for _, source := range sources(of) {
		one := r.get(source)
		one.want(wishOf(of), r.now())
		room, err := one.usable(of.Flavor)
		if err != nil && !errors.Is(err, errUnread) {
			reasons = append(reasons, fmt.Errorf("%s: %w", one.last.name, err))
			continue
		}
		c := candidate{source: source, failures: one.failures, room: room}
		if at, is := r.shunned[shun{run, source}]; is && run != "" && r.now().Sub(at) < avoided {
			c.shunned = 1
		}
		candidates = append(candidates, c)
	}
	if len(candidates) == 0 {
		return "", Choice{}, fmt.Errorf("%w: %w", testbed.ErrNoRoom, errors.Join(reasons...))
	}
	best := slices.MinFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.shunned, b.shunned), cmp.Compare(a.failures, b.failures), cmp.Compare(b.room, a.room))
	})
	one := r.get(best.source)
	one.last.left = one.last.left.Without(1, one.last.flavors[of.Flavor])
	return best.source, one.last.choice(wishOf(of)), nil
}

// expect notes what may be asked for, before anybody does.
func (r *regions) expect(of config.NovaTestbed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, source := range sources(of) {
		one := r.get(source)
		one.wanted[wishOf(of)] = true
		one.ordinary = cmp.Or(one.ordinary, of.Flavor)
	}
}

// ended is told of a testbed's account at the end of its run.
func (r *regions) ended(said record, of testbed.Testbed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.get(said.Source)
	now := r.now()
	for key, at := range r.shunned {
		if now.Sub(at) >= avoided {
			delete(r.shunned, key)
		}
	}
	switch {
	case said.Failure == nil && said.Opened:
		one.failures = 0
		one.breaker.RunPassed()
		return
	case said.Failure == nil: // it was ended before it knew anything
		return
	}
	r.log.Warn("a testbed could not be made", "region", one.last.name, "run", of.Run, "testbed", of.Name, "error", said.Failure.Text)
	r.shunned[shun{of.Run, said.Source}] = now
	if !said.Failure.Region {
		return
	}
	one.failures++
	one.read = time.Time{} // a quota that was not as we knew it, perhaps
	r.wake()
	before := one.breaker.State()
	one.breaker.RunFailed(errors.New(said.Failure.Text))
	if before == testbed.BreakerClosed && one.breaker.State() == testbed.BreakerOpen {
		r.log.Error("a region is out of service", "region", one.last.name, "reason", one.breaker.Ready())
	}
}

func (r *regions) wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

func (r *regions) places() []testbed.Place {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := []testbed.Place{}
	names := map[string]bool{}
	for _, source := range r.order {
		one := r.known[source]
		name := one.last.name
		if names[name] { // of another cloud
			name += " of " + source
		}
		names[name] = true
		place := testbed.Place{Name: name, State: one.breaker.State(), Room: -1, Reason: one.breaker.Ready()}
		if size, known := one.last.flavors[one.ordinary]; known && !one.tried.IsZero() {
			place.Room = one.last.left.Fits(size)
		}
		all = append(all, place)
	}
	return all
}

// open is the region that a source leads to, with credentials as they are now.
func (r *regions) open(source string) (*openstack.Region, error) {
	return OpenRegion(&r.sessions, source)
}
