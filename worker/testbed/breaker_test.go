package testbed

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestBreaker goes through the picture of Breaker: each row is what is told, and what follows.
func TestBreaker(t *testing.T) {
	t.Parallel()
	broken := errors.New("no way to the mirror")
	type step struct {
		after time.Duration // before it
		tell  func(*Breaker)
		state BreakerState
		wait  time.Duration
	}
	passed := func(b *Breaker) { b.Passed() }
	failed := func(b *Breaker) { b.Failed(broken) }
	runFailed := func(b *Breaker) { b.RunFailed(broken) }
	runPassed := func(b *Breaker) { b.RunPassed() }
	abandoned := func(b *Breaker) { b.Abandoned() }
	nothing := func(*Breaker) {}
	due := func(want bool) func(*Breaker) {
		return func(b *Breaker) {
			if got := b.Due(); got != want {
				t.Errorf("due: %v, want %v", got, want)
			}
		}
	}
	for name, steps := range map[string][]step{
		"nobody has tried it yet":      {{0, nothing, BreakerProbing, 0}, {time.Hour, due(false), BreakerProbing, 0}},
		"its first canary passes":      {{0, passed, BreakerClosed, 0}},
		"its first canary fails":       {{0, failed, BreakerOpen, time.Minute}},
		"its first canary is given up": {{0, abandoned, BreakerProbing, 0}, {0, passed, BreakerClosed, 0}},
		"two failed runs are no reason": {
			{0, passed, BreakerClosed, 0}, {0, runFailed, BreakerClosed, 0}, {0, runFailed, BreakerClosed, 0},
			{0, runPassed, BreakerClosed, 0}, {0, runFailed, BreakerClosed, 0}, {0, runFailed, BreakerClosed, 0},
		},
		"three failed runs in a row are": {
			{0, passed, BreakerClosed, 0}, {0, runFailed, BreakerClosed, 0}, {0, runFailed, BreakerClosed, 0},
			{0, runFailed, BreakerOpen, time.Minute},
		},
		"a failed canary is at once": {{0, passed, BreakerClosed, 0}, {0, failed, BreakerOpen, time.Minute}},
		"a passing run closes nothing": {
			{0, failed, BreakerOpen, time.Minute}, {10 * time.Second, runPassed, BreakerOpen, 50 * time.Second},
		},
		"a run that began before opens nothing anew": {
			{0, failed, BreakerOpen, time.Minute}, {10 * time.Second, runFailed, BreakerOpen, 50 * time.Second},
		},
		"pauses grow, up to a bound": {
			{0, failed, BreakerOpen, time.Minute}, {59 * time.Second, due(false), BreakerOpen, time.Second},
			{time.Second, due(true), BreakerProbing, 0}, {0, due(false), BreakerProbing, 0},
			{0, failed, BreakerOpen, 2 * time.Minute}, {2 * time.Minute, due(true), BreakerProbing, 0},
			{0, failed, BreakerOpen, 3 * time.Minute}, {3 * time.Minute, due(true), BreakerProbing, 0},
			{0, failed, BreakerOpen, 3 * time.Minute},
		},
		"a pass makes the next pause short again": {
			{0, failed, BreakerOpen, time.Minute}, {time.Minute, due(true), BreakerProbing, 0},
			{0, failed, BreakerOpen, 2 * time.Minute}, {2 * time.Minute, due(true), BreakerProbing, 0},
			{0, passed, BreakerClosed, 0}, {0, failed, BreakerOpen, time.Minute},
		},
		"a canary that somebody else ran closes it": {{0, failed, BreakerOpen, time.Minute}, {0, passed, BreakerClosed, 0}},
		"a second failure within the pause does not double it": {
			{0, failed, BreakerOpen, time.Minute}, {30 * time.Second, failed, BreakerOpen, time.Minute},
		},
		"a probe that is given up is due again": {
			{0, failed, BreakerOpen, time.Minute}, {time.Minute, due(true), BreakerProbing, 0},
			{0, abandoned, BreakerOpen, 0}, {0, due(true), BreakerProbing, 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			b := NewBreaker(BreakerSettings{LastPause: 3 * time.Minute}, func() time.Time { return clock })
			for i, s := range steps {
				clock = clock.Add(s.after)
				s.tell(b)
				if b.State() != s.state || b.Wait() != s.wait {
					t.Fatalf("step %d: %s, %s to wait, want %s, %s", i+1, b.State(), b.Wait(), s.state, s.wait)
				}
				if err := b.Ready(); (err == nil) != (s.state == BreakerClosed) || (err != nil && !errors.Is(err, ErrOpen)) {
					t.Fatalf("step %d: ready: %v", i+1, err)
				}
			}
		})
	}
}

// TestBreakerSays has what the operator reads: since when, why, and what happens next.
func TestBreakerSays(t *testing.T) {
	t.Parallel()
	clock := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b := NewBreaker(BreakerSettings{}, func() time.Time { return clock })
	if err := b.Ready(); err == nil || !strings.Contains(err.Error(), "first canary") {
		t.Errorf("unproven: %v", err)
	}
	b.Passed()
	cause := errors.New("exit code 16")
	for range defaultFailures {
		b.RunFailed(cause)
	}
	err := b.Ready()
	if !errors.Is(err, cause) {
		t.Fatalf("error = %v", err)
	}
	for _, text := range []string{"2026-01-02T03:04:05Z", "3 runs in a row", "exit code 16", "at 2026-01-02T03:05:05Z"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not say %q", err, text)
		}
	}
}
