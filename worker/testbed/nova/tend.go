package nova

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

const (
	// lookEvery is between looks at what is to be done, when nobody asks for more.
	lookEvery = 5 * time.Second
	// sweepEvery is between passes of the janitor.
	sweepEvery = 3 * time.Minute
)

// Tend keeps what is known of the regions fresh, tries those that are out of service, and is the janitor.
func (b backend) Tend(ctx context.Context, with testbed.Tending) {
	b.regions.mu.Lock()
	b.regions.log = with.Log
	b.regions.mu.Unlock()
	t := tender{regions: b.regions, with: with, swept: map[string]time.Time{}, busy: map[string]bool{}, trials: map[string]bool{}}
	t.run(ctx)
}

// tender is one Tend. Its goroutine starts others, at most one for each region and task, and waits for them.
type tender struct {
	regions *regions
	with    testbed.Tending
	started sync.WaitGroup

	mu     sync.Mutex
	swept  map[string]time.Time // by source: the last pass of the janitor
	busy   map[string]bool      // by source and task
	trials map[string]bool      // names of testbeds that are made to try a region
}

func (t *tender) run(ctx context.Context) {
	defer t.started.Wait()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		for _, source := range t.sources() {
			t.attend(ctx, source)
		}
		select {
		case <-ticker.C:
		case <-t.regions.woken:
		case <-ctx.Done():
			return
		}
	}
}

// sources are the regions of all testbeds that may be asked for, from now on known with what these are made of.
func (t *tender) sources() (all []string) {
	for _, of := range t.testbeds() {
		t.regions.expect(of)
		for _, source := range sources(of) {
			if !slices.Contains(all, source) {
				all = append(all, source)
			}
		}
	}
	return all
}

func (t *tender) testbeds() (all []config.NovaTestbed) {
	for _, words := range t.with.Given() {
		if of, err := config.ParseNovaTestbed(words); err == nil { // the configuration was checked when it was read
			all = append(all, of)
		}
	}
	return all
}

// attend starts what is due.
func (t *tender) attend(ctx context.Context, source string) {
	now := t.regions.now()
	t.regions.mu.Lock()
	one := t.regions.get(source)
	open := one.breaker.State() == testbed.BreakerOpen
	trial := open && one.breaker.Due()
	read := !open && now.Sub(one.read) >= one.believed(now) && now.Sub(one.tried) >= fresh
	t.regions.mu.Unlock()
	t.mu.Lock()
	sweep := now.Sub(t.swept[source]) >= sweepEvery
	t.mu.Unlock()
	if read {
		t.start(source+" read", func() { t.read(ctx, source) })
	}
	if trial {
		t.start(source+" trial", func() { t.try(ctx, source) })
	}
	if sweep {
		t.start(source+" sweep", func() { t.sweep(ctx, source) })
	}
}

// start runs a task unless it runs already.
func (t *tender) start(name string, task func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy[name] {
		return
	}
	t.busy[name] = true
	t.started.Go(func() {
		defer func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			delete(t.busy, name)
		}()
		task()
	})
}

// read reads a region's quota, and what testbeds there are made of. One that cannot be read several times in a row is out of service.
func (t *tender) read(ctx context.Context, source string) (ok bool) {
	r := t.regions
	r.mu.Lock()
	one := r.get(source)
	wanted := slices.Collect(maps.Keys(one.wanted))
	r.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	got, err := r.look(limited, source, wanted)
	if ctx.Err() != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	one.tried = r.now()
	if err != nil {
		t.with.Log.Warn("the quota of a region cannot be read", "region", one.last.name, "error", err)
		one.breaker.RunFailed(err)
		if one.breaker.State() == testbed.BreakerProbing {
			one.breaker.Failed(err)
		}
		return false
	}
	first := one.last.flavors == nil
	one.last, one.read = got, one.tried
	if first && one.breaker.State() == testbed.BreakerProbing {
		one.breaker.Passed()
		t.with.Log.Info("a region can be used", "region", got.name, "instances left", got.left.Instances)
	}
	return true
}

// try proves a region that was out of service: its quota can be read, and then it boots a server.
func (t *tender) try(ctx context.Context, source string) {
	if !t.read(ctx, source) {
		return // the breaker knows
	}
	r := t.regions
	err := t.boot(ctx, source)
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.get(source)
	switch {
	case ctx.Err() != nil:
		one.breaker.Abandoned()
	case err != nil:
		one.breaker.Failed(err)
		t.with.Log.Error("a region that was tried again stays out of service", "region", one.last.name,
			"next in", one.breaker.Wait(), "error", err)
	default:
		one.failures = 0
		one.breaker.Passed()
		t.with.Log.Info("a region is in service again", "region", one.last.name)
	}
}

// boot makes the server of an ordinary testbed, up to the point where Nova has done its part, and removes it.
func (t *tender) boot(ctx context.Context, source string) error {
	all := t.testbeds()
	if len(all) == 0 {
		return nil
	}
	region, err := t.regions.open(source)
	if err != nil {
		return err
	}
	of := testbed.Testbed{Name: testbed.NamePrefix + "trial-" + strings.ToLower(rand.Text()[:12]), Worker: t.with.Worker, Package: "trial"}
	t.mu.Lock()
	t.trials[of.Name] = true
	t.mu.Unlock()
	plan, err := newPlan(all[0], of, source, Choice{})
	if err != nil {
		return err
	}
	plan.Account = "" // this program lives on, and notes nothing
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.trials, of.Name) // from here on it is the janitor's
	}()
	return bootOnce(ctx, region, plan)
}

// alive says whether this program has something to do with a testbed still.
func (t *tender) alive() map[string]bool {
	names := map[string]bool{}
	for _, name := range t.with.Alive() {
		names[nameTag(name)] = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for name := range t.trials {
		names[nameTag(name)] = true
	}
	return names
}
