package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lease"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Testbeds runs tests. Package testbed has the real one.
type Testbeds interface {
	// Run runs a package's tests and returns when nothing of them is left but the output folder. When the context ends it
	// kills the tests first. Any number of runs may go on at a time.
	Run(ctx context.Context, job testbed.Job) (testbed.Outcome, error)

	// Ready says why tests of a queue cannot be run now; nil if they can. It is asked often and must be quick.
	Ready(q request.Queue) error

	// Canary proves a testbed for a queue at this moment, by what every test needs of it. It returns nil when the testbed is
	// sound, and otherwise what is wrong with it. It takes as long as a small test does.
	Canary(ctx context.Context, q request.Queue) error

	// Remove deletes the folder of a run with everything in it, whoever owns it, and ends what still runs in it.
	Remove(ctx context.Context, folder string) error
}

// Settings is what a worker is told.
type Settings struct {
	Queues         []request.Queue // in the order in which tables show them
	Slots          int             // tests at a time
	StateDirectory string          // this worker's alone
	Images         string          // folder of RELEASE-ARCH.tar.zst
	Timeout        time.Duration   // the longest that one test may run
	DrainTimeout   time.Duration   // how long a drain waits for running tests
	SpoolLimit     int             // results that may wait for the store before no request is taken; 0: twice the slots, at least 16
	Policy         Policy          // what is not run at all; nil for nothing
	Weights        map[string]int  // shares of the contexts while all have requests; nil for the usual ones
	Limits         testbed.Limits  // of each run
	RetryPause     time.Duration   // before a failed testbed is tried again; twice as long the second time
	Observer       Observer        // nil for nobody
}

// defaultRetryPause gives a mirror or a network that was away for a moment the time to come back.
const defaultRetryPause = 30 * time.Second

// Worker takes requests from the broker and runs N of them at a time.
//
// Its goroutines: Run itself dispatches; beside it, one keeps a session with the broker and serves it (serve.go), and one
// per request lives its life (life.go) with two more, one that reports its status (status.go) and one that keeps its lease
// (lease.go). Run waits for all of them.
//
// Stop and cancel are two things. Drain stops: no new test begins, those that run are finished, up to the drain timeout.
// Ending Run's context cancels: tests are killed and their requests handed back, within seconds.
type Worker struct {
	settings Settings
	testbeds Testbeds
	store    store.Store
	log      *slog.Logger
	name     string          // from Run on
	leases   *lease.Registry // from Run on

	broker   *lender // the current session, for whoever publishes
	ledger   *ledger
	rejects  rejects
	order    *order
	spool    *spool
	incoming chan Delivery
	places   *places
	drain    chan struct{} // closed by Drain
	drainOne sync.Once
	pulse    chan struct{} // taken by dispatch whenever it comes round

	mu       sync.Mutex
	wanted   wanted
	changed  chan struct{} // closed and replaced by Reconfigure
	lives    map[*life]struct{}
	consumed *queue.Session // whose queues are consumed; nil while there is none
}

// wanted is the part of the settings that may change while the worker runs.
type wanted struct {
	queues []request.Queue
	slots  int
}

// New makes a worker. It touches nothing yet.
func New(settings Settings, testbeds Testbeds, results store.Store, log *slog.Logger) (*Worker, error) {
	if err := settings.validate(); err != nil {
		return nil, fmt.Errorf("the worker's settings: %w", err)
	}
	if settings.RetryPause == 0 {
		settings.RetryPause = defaultRetryPause
	}
	if settings.Observer == nil {
		settings.Observer = unobserved{}
	}
	return &Worker{
		settings: settings, testbeds: testbeds, store: results, log: log,
		broker: newLender(), ledger: newLedger(), order: newOrder(),
		spool:    newSpool(filepath.Join(settings.StateDirectory, spoolFolder)),
		rejects:  rejects{filepath.Join(settings.StateDirectory, rejectsFolder)},
		incoming: make(chan Delivery), places: newPlaces(settings.Slots), drain: make(chan struct{}),
		pulse:  make(chan struct{}),
		wanted: wanted{settings.Queues, settings.Slots}, changed: make(chan struct{}),
		lives: map[*life]struct{}{},
	}, nil
}

func (s Settings) validate() error {
	switch {
	case len(s.Queues) == 0:
		return errors.New("no queues")
	case s.Slots < 1:
		return fmt.Errorf("%d slots, want at least one", s.Slots)
	case s.StateDirectory == "" || !filepath.IsAbs(s.StateDirectory):
		return fmt.Errorf("the state directory is %q, want an absolute path", s.StateDirectory)
	case s.SpoolLimit < 0:
		return fmt.Errorf("a spool limit of %d results, want at least one, or 0 for the usual", s.SpoolLimit)
	case s.Timeout <= 0 || s.DrainTimeout < 0:
		return fmt.Errorf("timeout %s, drain timeout %s", s.Timeout, s.DrainTimeout)
	}
	for _, q := range s.Queues {
		if err := q.Validate(); err != nil {
			return err
		}
	}
	return nil
}

// Dialer opens a session with the broker.
type Dialer func(context.Context) (*queue.Session, error)

// Run works until it is drained or the context ends, and returns nil in both cases. It fails when it cannot begin: when
// another worker uses the state directory, say.
func (w *Worker) Run(ctx context.Context, dial Dialer) error {
	state, err := openState(w.settings.StateDirectory)
	if err != nil {
		return err
	}
	defer state.close()
	w.name = state.worker
	w.clearLeftovers(ctx, state)
	w.leases = lease.NewRegistry(w.store, state.worker, state.leases, w.log)
	dead := w.leases.Dead(w.spools)
	var tidying sync.WaitGroup
	tidying.Go(func() { w.tidyLeases(w.leases.Background(), dead) })
	defer tidying.Wait()
	defer w.leases.Close(removeLimitStopping)

	sessions, endSessions := context.WithCancel(context.WithoutCancel(ctx))
	defer endSessions()
	var serving sync.WaitGroup
	serving.Go(func() {
		queue.Keep(sessions, w.log, queue.Patience{}, dial, w.serve)
	})
	w.dispatch(ctx, state)
	// Sessions end last: until here, the lives needed one to publish, to acknowledge, to hand back.
	endSessions()
	serving.Wait()
	return nil
}

// Pulse returns nil when the worker's main loop, which begins and ends lives, has come round once more; the context's cause
// when it ended first: the loop stands still, has not begun, or is over.
func (w *Worker) Pulse(ctx context.Context) error {
	select {
	case w.pulse <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Drain lets running tests finish and begins no more; Run then returns. It may be called any number of times.
func (w *Worker) Drain() { w.drainOne.Do(func() { close(w.drain) }) }

// Reconfigure changes the queues and the number of slots of a running worker. Running tests are not touched: with fewer
// slots than tests, no new one begins until enough have ended.
func (w *Worker) Reconfigure(queues []request.Queue, slots int) error {
	changed := w.settings
	changed.Queues, changed.Slots = queues, slots
	if err := changed.validate(); err != nil {
		return fmt.Errorf("new settings: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wanted = wanted{queues, slots}
	close(w.changed)
	w.changed = make(chan struct{})
	return nil
}

// Queues are those that are wanted now.
func (w *Worker) Queues() []request.Queue {
	wanted, _ := w.current()
	return wanted.queues
}

// current returns what is wanted now, and a channel that is closed when that changes.
func (w *Worker) current() (wanted, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wanted, w.changed
}

// Running is a request that is in work, for those who look.
type Running struct {
	ID    string // its handle: what Cancel and Requeue take, "run" in the log; not the run id, which a published result gets
	Queue request.Queue
	// Package is what the request says; in a malformed one that is anything.
	Package string
	State   State
	Since   time.Time
}

// Running lists what is in work now.
func (w *Worker) Running() []Running {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]Running, 0, len(w.lives))
	for l := range w.lives {
		d := l.delivery
		list = append(list, Running{ID: l.id, Queue: d.Queue, Package: d.packageName(), State: l.current(), Since: l.began})
	}
	return list
}
