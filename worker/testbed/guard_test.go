package testbed

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// fakeProver has testbeds whose canary does what it is told.
type fakeProver struct {
	mu       sync.Mutex
	canaries int
	sick     error
	outcome  Outcome
	image    error
	provenAt time.Time
	noRoom   error
	err      error // of runs
}

func (f *fakeProver) Run(context.Context, Job) (Outcome, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.outcome, f.err
}

func (f *fakeProver) canary(context.Context, request.Queue) ([]Capability, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.canaries++
	return []Capability{Revert}, f.sick
}

func (f *fakeProver) room(request.Queue) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.noRoom
}

func (f *fakeProver) proven(request.Queue) (time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.provenAt, f.image
}

func (f *fakeProver) set(change func(*fakeProver)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeProver) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.canaries
}

var noble = request.Queue{Release: "noble", Architecture: "amd64"}

// guarded runs a test with a guard that watches, in time of its own.
func guarded(t *testing.T, f *fakeProver, test func(*Guard)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f.set(func(f *fakeProver) {
			if !f.provenAt.IsZero() {
				f.provenAt = time.Now().Add(-10 * time.Minute)
			}
		})
		g := newGuard(f, GuardSettings{}, slog.New(slog.DiscardHandler), time.Now, func(d time.Duration) time.Duration { return d })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			g.Watch(ctx, func() []request.Queue {
				return []request.Queue{noble, {Context: request.Huge, Release: "noble", Architecture: "amd64"}}
			})
		}()
		synctest.Wait()
		test(g)
		cancel()
		<-done
	})
}

func pass(d time.Duration) {
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
}

func TestGuardStart(t *testing.T) {
	t.Parallel()
	f := &fakeProver{}
	guarded(t, f, func(g *Guard) {
		if err := g.Ready(noble); err != nil || f.count() != 1 {
			t.Errorf("after the start: %v, %d canaries", err, f.count())
		}
		if found := g.Found(noble); len(found) != 1 || found[0] != Revert {
			t.Errorf("found %v", found)
		}
		pass(59 * time.Minute)
		if f.count() != 1 {
			t.Errorf("%d canaries within the hour", f.count())
		}
		pass(2 * time.Minute)
		if f.count() != 2 {
			t.Errorf("%d canaries after an hour", f.count())
		}
	})
}

// TestGuardProven is in service without a canary of its own, and the next is due an hour after the image's.
func TestGuardProven(t *testing.T) {
	t.Parallel()
	f := &fakeProver{provenAt: time.Unix(1, 0)}
	guarded(t, f, func(g *Guard) {
		if err := g.Ready(noble); err != nil || f.count() != 0 {
			t.Errorf("after the start: %v, %d canaries", err, f.count())
		}
		pass(51 * time.Minute)
		if f.count() != 1 {
			t.Errorf("%d canaries after an hour", f.count())
		}
	})
}

func TestGuardNoImage(t *testing.T) {
	t.Parallel()
	f := &fakeProver{image: ErrNoImage}
	guarded(t, f, func(g *Guard) {
		pass(10 * time.Minute)
		if err := g.Ready(noble); !errors.Is(err, ErrNoImage) || f.count() != 0 {
			t.Errorf("%v, %d canaries", err, f.count())
		}
		f.set(func(f *fakeProver) { f.image = nil })
		pass(lookEvery)
		if err := g.Ready(noble); err != nil || f.count() != 1 {
			t.Errorf("with an image: %v, %d canaries", err, f.count())
		}
	})
}

// TestGuardNoRoom takes nothing while there is no room, and blames nobody.
func TestGuardNoRoom(t *testing.T) {
	t.Parallel()
	f := &fakeProver{noRoom: ErrNoRoom}
	guarded(t, f, func(g *Guard) {
		pass(10 * time.Minute)
		if f.count() != 0 {
			t.Errorf("%d canaries without room", f.count())
		}
		f.set(func(f *fakeProver) { f.noRoom = nil })
		pass(lookEvery)
		if err := g.Ready(noble); err != nil || f.count() != 1 {
			t.Errorf("with room: %v, %d canaries", err, f.count())
		}
		f.set(func(f *fakeProver) { f.noRoom, f.err = ErrNoRoom, ErrNoRoom })
		for range 2 * defaultFailures {
			if _, err := g.Run(t.Context(), Job{Queue: noble}); !errors.Is(err, ErrNoRoom) {
				t.Fatal(err)
			}
		}
		if err := g.Ready(noble); !errors.Is(err, ErrNoRoom) || errors.Is(err, ErrOpen) {
			t.Errorf("when it is used up: %v", err)
		}
	})
}

// TestGuardSick has testbeds that break and are mended.
func TestGuardSick(t *testing.T) {
	t.Parallel()
	f := &fakeProver{}
	guarded(t, f, func(g *Guard) {
		f.set(func(f *fakeProver) { f.outcome = Outcome{ExitCode: 16, Duration: time.Second}; f.sick = ErrCanary })
		for range defaultFailures {
			if err := g.Ready(noble); err != nil {
				t.Fatalf("too early: %v", err)
			}
			if _, err := g.Run(t.Context(), Job{Queue: noble}); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Ready(noble); !errors.Is(err, ErrOpen) {
			t.Fatalf("after %d failures: %v", defaultFailures, err)
		}
		if err := g.Ready(request.Queue{Release: "jammy", Architecture: "amd64"}); err == nil || !errors.Is(err, ErrUnproven) {
			t.Errorf("another release: %v", err)
		}
		states := g.Breakers()
		if len(states) != 2 || states[noble] != BreakerOpen || states[request.Queue{Release: "jammy", Architecture: "amd64"}] != BreakerProbing {
			t.Errorf("breakers: %v", states)
		}
		pass(time.Minute)
		if f.count() != 2 {
			t.Errorf("%d canaries after the first pause", f.count())
		}
		pass(119 * time.Second)
		if f.count() != 2 {
			t.Errorf("%d canaries within the second pause", f.count())
		}
		f.set(func(f *fakeProver) { f.sick = nil })
		pass(time.Second)
		if err := g.Ready(noble); err != nil || f.count() != 3 {
			t.Errorf("mended: %v, %d canaries", err, f.count())
		}
	})
}

// TestGuardAsked is what a run whose package failed early leads to.
func TestGuardAsked(t *testing.T) {
	t.Parallel()
	f := &fakeProver{}
	guarded(t, f, func(g *Guard) {
		f.set(func(f *fakeProver) { f.sick = ErrCanary })
		if err := g.Canary(t.Context(), noble); !errors.Is(err, ErrCanary) {
			t.Errorf("error = %v", err)
		}
		if err := g.Ready(noble); !errors.Is(err, ErrOpen) {
			t.Errorf("ready: %v", err)
		}
	})
}
