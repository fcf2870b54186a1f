package testbed

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrOpen means that testbeds are out of service: their canary failed, or run after run did.
var ErrOpen = errors.New("testbeds are out of service")

// BreakerState is whether testbeds are used.
type BreakerState string

// The states of a breaker.
const (
	BreakerClosed  BreakerState = "closed"  // runs are let through
	BreakerOpen    BreakerState = "open"    // none is, until the pause is over
	BreakerProbing BreakerState = "probing" // none is: a canary runs, or is to run
)

// BreakerSettings are the numbers of a breaker. Zero values stand for the defaults.
type BreakerSettings struct {
	Failures   int           // testbed failures in a row that open it
	FirstPause time.Duration // before the first probe; twice as long before each further one
	LastPause  time.Duration // the longest that a pause becomes
}

// Three failures are what one request with its retries makes: a testbed that fails that often fails everybody. A mirror
// that was away for a moment is back within a minute; what is broken for hours is probed often enough to be in service
// again soon after it was mended.
const (
	defaultFailures   = 3
	defaultFirstPause = time.Minute
	defaultLastPause  = 15 * time.Minute
)

// Breaker takes testbeds out of service that fail, so that requests wait in their queue or go to another worker instead of
// failing one after the other. It decides and does nothing else: whoever owns it runs the canary when Due says so, and
// tells it how that and the runs ended.
//
//	           N testbed failures in a row, or a failed canary
//	closed ──────────────────────────────────────────────────────► open ◄──┐
//	  ▲                                                             │      │ the canary fails:
//	  │ the canary passes                           pause is over   │      │ a longer pause
//	  └───────────────────────── probing ◄──────────────────────────┘      │
//	                                └──────────────────────────────────────┘
//
// It may be used from several goroutines.
type Breaker struct {
	settings BreakerSettings
	now      func() time.Time

	mu       sync.Mutex
	state    BreakerState
	failures int           // in a row, while closed
	reason   error         // why it is not closed
	since    time.Time     // when it last left the closed state
	pause    time.Duration // the current one, or the last
	until    time.Time     // end of the pause
}

// NewBreaker makes a breaker for testbeds that nobody has tried yet: it is probing, and the first canary closes or opens it.
func NewBreaker(settings BreakerSettings, now func() time.Time) *Breaker {
	if settings.Failures == 0 {
		settings.Failures = defaultFailures
	}
	if settings.FirstPause == 0 {
		settings.FirstPause = defaultFirstPause
	}
	if settings.LastPause == 0 {
		settings.LastPause = defaultLastPause
	}
	return &Breaker{settings: settings, now: now, state: BreakerProbing, since: now(), reason: ErrUnproven}
}

// ErrUnproven is the reason of testbeds that nobody has tried yet: nothing is known to be wrong with them.
var ErrUnproven = errors.New("their first canary has not ended yet")

// State is the state of the moment.
func (b *Breaker) State() BreakerState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

// Ready returns nil when runs are let through, and otherwise why they are not, in an ErrOpen.
func (b *Breaker) Ready() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == BreakerClosed {
		return nil
	}
	next := "a canary is to tell"
	if b.state == BreakerOpen { // a point in time: whoever logs changes of the reason should not see one every second
		next = "the next canary runs at " + b.until.UTC().Format(time.RFC3339)
	}
	return fmt.Errorf("%w since %s; %s: %w", ErrOpen, b.since.UTC().Format(time.RFC3339), next, b.reason)
}

// Due says whether a canary is to run now. The answer is given once: it puts an open breaker whose pause is over into the
// probing state, whose owner owes it a Passed or a Failed.
func (b *Breaker) Due() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != BreakerOpen || b.now().Before(b.until) {
		return false
	}
	b.state = BreakerProbing
	return true
}

// Wait is how long it is until the pause is over; zero unless the breaker is open.
func (b *Breaker) Wait() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != BreakerOpen {
		return 0
	}
	return max(b.until.Sub(b.now()), 0)
}

// Passed tells that a canary passed, whoever ran it. It closes the breaker.
func (b *Breaker) Passed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state, b.failures, b.pause, b.reason = BreakerClosed, 0, 0, nil
}

// Failed tells that a canary failed. It opens the breaker, for longer each time.
func (b *Breaker) Failed(reason error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open(reason)
}

// RunFailed tells that a run ended with a failure of its testbed.
func (b *Breaker) RunFailed(reason error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != BreakerClosed {
		return // it began before, and tells nothing new
	}
	b.failures++
	if b.failures >= b.settings.Failures {
		b.open(fmt.Errorf("%d runs in a row ended with a testbed failure: %w", b.failures, reason))
	}
}

// RunPassed tells that a run had a sound testbed, whatever became of its tests. It does not close an open breaker: a test
// that needs nothing of the archive passes in a testbed that has lost its network.
func (b *Breaker) RunPassed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = 0
}

// Abandoned tells that a canary was ended before it knew anything. The next one is due at once.
func (b *Breaker) Abandoned() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == BreakerProbing && !errors.Is(b.reason, ErrUnproven) {
		b.state, b.until = BreakerOpen, b.now()
	}
}

// open is called with the lock held.
func (b *Breaker) open(reason error) {
	now := b.now()
	if b.state == BreakerClosed {
		b.since = now
	}
	switch {
	case b.pause == 0:
		b.pause = b.settings.FirstPause
	case b.state != BreakerOpen: // a canary that nobody waited for does not make the pause longer
		b.pause = min(2*b.pause, b.settings.LastPause)
	}
	b.state, b.failures, b.reason, b.until = BreakerOpen, 0, reason, now.Add(b.pause)
}
