package testbed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// prover is the part of a Runner that a Guard watches.
type prover interface {
	Run(ctx context.Context, job Job) (Outcome, error)
	canary(ctx context.Context, queue request.Queue) ([]Capability, error)
	proven(queue request.Queue) (time.Time, error)
	room(queue request.Queue) error
}

// GuardSettings are the numbers of a Guard. Zero values stand for the defaults.
type GuardSettings struct {
	Every   time.Duration // between canaries of sound testbeds, on average; default an hour
	Breaker BreakerSettings
}

const defaultCanaryEvery = time.Hour

// Guard runs jobs like its Runner, and keeps an eye on the testbeds: it has a canary run at the start and then regularly,
// counts runs whose testbed failed, and says by Ready which queues should not be served because of it. There is a breaker
// for every release and architecture, since each has an image of its own.
type Guard struct {
	runner   prover
	settings GuardSettings
	log      *slog.Logger
	now      func() time.Time
	jitter   func(time.Duration) time.Duration

	mu      sync.Mutex
	watched map[string]*watched // by release and architecture
	changed chan struct{}       // has one entry when Watch should look again
}

// watched is one kind of testbed.
type watched struct {
	queue   request.Queue // one of those that share it
	breaker *Breaker
	next    time.Time    // when the next regular canary is due
	found   []Capability // by the last canary that passed
	busy    bool         // a canary of Watch's runs
}

// NewGuard makes a guard. Until Watch runs, testbeds are in service only as far as their images are proven.
func NewGuard(runner *Runner, settings GuardSettings, log *slog.Logger) *Guard {
	return newGuard(runner, settings, log, time.Now, func(d time.Duration) time.Duration {
		return d - d/8 + rand.N(d/4+1) // machines that were started together should not meet at the mirror for ever
	})
}

func newGuard(runner prover, settings GuardSettings, log *slog.Logger, now func() time.Time,
	jitter func(time.Duration) time.Duration,
) *Guard {
	if settings.Every == 0 {
		settings.Every = defaultCanaryEvery
	}
	return &Guard{runner: runner, settings: settings, log: log, now: now, jitter: jitter,
		watched: map[string]*watched{}, changed: make(chan struct{}, 1)}
}

// Run runs a job and counts how its testbed did.
func (g *Guard) Run(ctx context.Context, job Job) (Outcome, error) {
	outcome, err := g.runner.Run(ctx, job)
	if ctx.Err() != nil || errors.Is(err, ErrNoImage) || errors.Is(err, ErrNoRoom) {
		return outcome, err
	}
	w := g.watch(job.Queue)
	switch {
	case err != nil:
		w.breaker.RunFailed(err)
	case outcome.TestbedFailed():
		w.breaker.RunFailed(fmt.Errorf("autopkgtest ended with %d", outcome.ExitCode))
	default:
		w.breaker.RunPassed()
		return outcome, err
	}
	if w.breaker.State() == BreakerOpen {
		g.log.Error("testbeds are taken out of service", "release", job.Queue.Release, "arch", job.Queue.Architecture,
			"reason", w.breaker.Ready())
	}
	g.wake()
	return outcome, err
}

// Canary tells whether the testbeds of a queue are sound at this moment, see Runner.Canary. What it finds counts.
func (g *Guard) Canary(ctx context.Context, queue request.Queue) error {
	w := g.watch(queue)
	found, err := g.runner.canary(ctx, queue)
	g.settle(ctx, w, queue, found, err)
	return err
}

// settle lets the breaker know how a canary ended.
func (g *Guard) settle(ctx context.Context, w *watched, queue request.Queue, found []Capability, err error) {
	switch {
	case err == nil:
		before := w.breaker.State()
		w.breaker.Passed()
		if before == BreakerOpen {
			g.log.Info("testbeds are in service again", "release", queue.Release, "arch", queue.Architecture)
		}
		g.mu.Lock()
		w.found, w.next = found, g.now().Add(g.jitter(g.settings.Every))
		g.mu.Unlock()
	case ctx.Err() != nil, errors.Is(err, ErrNoImage), errors.Is(err, ErrNoRoom):
		w.breaker.Abandoned()
	default:
		w.breaker.Failed(err)
		g.log.Error("a canary failed: no request of this release and architecture is taken until one passes",
			"release", queue.Release, "arch", queue.Architecture, "next in", w.breaker.Wait(), "error", err)
	}
	g.wake()
}

// Ready says why tests of a queue cannot be run now: there is no image, its testbeds are out of service, or there is no room.
func (g *Guard) Ready(queue request.Queue) error {
	if _, err := g.runner.proven(queue); err != nil {
		return err
	}
	if err := g.watch(queue).breaker.Ready(); err != nil {
		return fmt.Errorf("%s on %s: %w", queue.Release, queue.Architecture, err)
	}
	return g.runner.room(queue)
}

// Found is what the last canary of a queue's testbeds found that they can do; nil before one has passed.
func (g *Guard) Found(queue request.Queue) []Capability {
	w := g.watch(queue)
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(w.found)
}

// watch returns what is known of a queue's testbeds. Those whose image was proven when it was built, less than a canary's
// period ago, are in service at once; all others wait for their first canary.
func (g *Guard) watch(queue request.Queue) *watched {
	proven, err := g.runner.proven(queue)
	g.mu.Lock()
	defer g.mu.Unlock()
	key := testbedOf(queue)
	w, there := g.watched[key]
	if !there {
		w = &watched{queue: queue, breaker: NewBreaker(g.settings.Breaker, g.now)}
		g.watched[key] = w
		g.wake()
	}
	// An image that has been swapped in since was proven too, but that says nothing of an open breaker's reason.
	if age := g.now().Sub(proven); err == nil && w.next.IsZero() && !proven.IsZero() && age >= 0 && age < g.settings.Every {
		w.breaker.Passed()
		w.next = proven.Add(g.jitter(g.settings.Every))
	}
	return w
}

func (g *Guard) wake() {
	select {
	case g.changed <- struct{}{}:
	default: // it will look anyway
	}
}

// lookEvery is how soon Watch notices that there is an image where there was none.
const lookEvery = 5 * time.Second

// Watch runs canaries until ctx ends, each for itself: at the start for queues whose image is not proven, then regularly,
// and as long as testbeds are out of service after pauses that grow. It returns when the last one has ended.
func (g *Guard) Watch(ctx context.Context, queues func() []request.Queue) {
	var running sync.WaitGroup
	defer running.Wait()
	for ctx.Err() == nil {
		pause := lookEvery
		for _, queue := range oneOfEach(queues()) {
			start, wait := g.due(queue)
			if start {
				running.Go(func() { g.probe(ctx, queue) })
			} else if wait > 0 {
				pause = min(pause, wait)
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-g.changed:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// due says whether a canary of a queue's testbeds is to be started now, or how long it is until then; zero for not known.
func (g *Guard) due(queue request.Queue) (start bool, wait time.Duration) {
	w := g.watch(queue)
	if _, err := g.runner.proven(queue); err != nil {
		return false, 0 // no image
	}
	if g.runner.room(queue) != nil {
		return false, 0 // a canary needs room like any other run
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.busy {
		return false, 0
	}
	switch w.breaker.State() {
	case BreakerProbing:
		w.busy = true
	case BreakerOpen:
		w.busy = w.breaker.Due()
		wait = w.breaker.Wait()
	case BreakerClosed:
		wait = w.next.Sub(g.now())
		w.busy = wait <= 0
	}
	return w.busy, wait
}

// probe runs one canary.
func (g *Guard) probe(ctx context.Context, queue request.Queue) {
	_ = g.Canary(ctx, queue) // the breaker knows
	w := g.watch(queue)
	g.mu.Lock()
	w.busy = false
	g.mu.Unlock()
	g.wake()
}

// oneOfEach leaves out queues whose testbeds are those of another one.
func oneOfEach(queues []request.Queue) []request.Queue {
	each := map[string]request.Queue{}
	for _, queue := range queues {
		each[testbedOf(queue)] = queue
	}
	var out []request.Queue
	for _, key := range slices.Sorted(maps.Keys(each)) {
		out = append(out, each[key])
	}
	return out
}

// Breakers are the states of the breakers, each by a queue of its release and architecture whose context is empty.
func (g *Guard) Breakers() map[request.Queue]BreakerState {
	g.mu.Lock()
	defer g.mu.Unlock()
	states := map[request.Queue]BreakerState{}
	for _, w := range g.watched {
		states[request.Queue{Release: w.queue.Release, Architecture: w.queue.Architecture}] = w.breaker.State()
	}
	return states
}

// Status is one line for people on each kind of testbed, in order.
func (g *Guard) Status() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []string
	for _, key := range slices.Sorted(maps.Keys(g.watched)) {
		w := g.watched[key]
		line := key + ": " + string(w.breaker.State())
		if len(w.found) > 0 {
			words := make([]string, len(w.found))
			for i, c := range w.found {
				words[i] = string(c)
			}
			line += ", can " + strings.Join(words, ", ")
		}
		out = append(out, line)
	}
	return out
}
