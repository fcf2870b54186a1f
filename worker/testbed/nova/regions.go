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

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

const (
	// fresh is for how long a quota that was read is believed while somebody asks for room and there is little, lasting while there is
	// much, and idle while nobody asks.
	fresh     = 5 * time.Second
	lasting   = 20 * time.Second
	idle      = time.Minute
	much      = 10 // testbeds
	readLimit = 30 * time.Second
	// avoided is for how long a run does not return to a region that failed it, if there is another one.
	avoided = time.Hour
)

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

// reading is what was read of a region.
type reading struct {
	name    string // for people
	left    openstack.Left
	flavors map[string]flavors.Flavor // by what the configuration calls them
	missing map[string]error          // likewise

	// What was found of the rest is in here; the set-up script looks for what is not, and tells what is wrong with it.
	images   map[string]string // ids, by pattern
	networks map[string]string // ids, by what the configuration calls them
}

// wish is what a testbed is made of, as the configuration calls it.
type wish struct{ flavor, image, network string }

func wishOf(of config.NovaTestbed) wish { return wish{of.Flavor, of.Image, of.Network} }

// region is what is known of one.
type region struct {
	breaker  *testbed.Breaker
	failures int // testbeds in a row
	wanted   map[wish]bool
	ordinary string    // the flavor that was asked for last by whoever looked for room
	asked    time.Time // by somebody who wants to make a testbed
	read     time.Time // zero for never
	tried    time.Time
	last     reading
}

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

var errUnread = errors.New("its quota has not been read yet")

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

// want needs the lock of the regions.
func (o *region) want(what wish, now time.Time) {
	o.asked = now
	o.wanted[what] = true
}

// believed is for how long what was read counts.
func (o *region) believed(now time.Time) time.Duration {
	switch size, known := o.last.flavors[o.ordinary]; {
	case now.Sub(o.asked) >= idle:
		return idle
	case known && o.last.left.Fits(size) >= much:
		return lasting
	}
	return fresh
}

// usable is how many servers of a flavor the region has room for, at least one.
func (o *region) usable(flavor string) (room int, err error) {
	if o.last.flavors == nil && o.breaker.State() == testbed.BreakerProbing {
		return 0, errUnread
	}
	if err := o.breaker.Ready(); err != nil {
		return 0, err
	}
	if err := o.last.missing[flavor]; err != nil {
		return 0, err
	}
	size, known := o.last.flavors[flavor]
	if !known {
		return 0, errUnread
	}
	if room = o.last.left.Fits(size); room < 1 {
		left := o.last.left
		return 0, fmt.Errorf("the quota has no room for flavor %s: %d instances, %d cores, %d MiB are left", flavor,
			left.Instances, left.Cores, left.RAM)
	}
	return room, nil
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

// choice is what a wish is in the region, as far as that was found.
func (l reading) choice(of wish) Choice {
	return Choice{Image: l.images[of.image], Flavor: l.flavors[of.flavor].ID, Network: l.networks[of.network]}
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

func (r *regions) readRegion(ctx context.Context, source string, wanted []wish) (reading, error) {
	got := reading{name: sourceName(source)}
	at, err := r.open(source)
	if err != nil {
		return got, err
	}
	got.name = cmp.Or(at.Name(), got.name)
	var looking sync.WaitGroup
	looking.Go(func() { got.images = findImages(ctx, at, wanted) })
	looking.Go(func() { got.networks = findNetworks(ctx, at, wanted) })
	got.left, err = at.ComputeLeft(ctx)
	if err == nil {
		got.flavors, got.missing, err = findFlavors(ctx, at, wanted)
	}
	looking.Wait()
	return got, err
}

// findFlavors tells of each that is wanted what it is, or that it is missing.
func findFlavors(ctx context.Context, at *openstack.Region, wanted []wish) (map[string]flavors.Flavor, map[string]error, error) {
	found, missing := map[string]flavors.Flavor{}, map[string]error{}
	for _, name := range namesOf(wanted, func(w wish) string { return w.flavor }) {
		size, err := at.Flavor(ctx, name)
		switch {
		case errors.Is(err, openstack.ErrNotFound):
			missing[name] = err
		case err != nil:
			return nil, nil, err
		default:
			found[name] = size
		}
	}
	return found, missing, nil
}

// findImages finds the ids of those that are there.
func findImages(ctx context.Context, at *openstack.Region, wanted []wish) map[string]string {
	found := map[string]string{}
	newest, err := at.NewestImages(ctx)
	if err != nil {
		return nil
	}
	for _, pattern := range namesOf(wanted, func(w wish) string { return w.image }) {
		if image, err := newest(pattern); err == nil {
			found[pattern] = image.ID
		}
	}
	return found
}

// findNetworks finds the ids of those that are there.
func findNetworks(ctx context.Context, at *openstack.Region, wanted []wish) map[string]string {
	found := map[string]string{}
	for _, name := range namesOf(wanted, func(w wish) string { return w.network }) {
		if network, err := at.InternalNetwork(ctx, name); err == nil {
			found[name] = network.ID
		}
	}
	return found
}

// namesOf are the different ones.
func namesOf(wanted []wish, name func(wish) string) []string {
	var all []string
	for _, one := range wanted {
		all = append(all, name(one))
	}
	slices.Sort(all)
	return slices.Compact(all)
}
