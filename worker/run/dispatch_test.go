package run

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// dispatching runs the dispatcher of a bench until stop, and returns what waits for its end.
func (b *bench) dispatching(ctx context.Context) (ended <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.dispatch(ctx, b.state)
	}()
	return done
}

func TestSlotsBoundTests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes, func(s *Settings) { s.Slots = 3 })
		ended := b.dispatching(t.Context())
		var messages []*fakeMessage
		for i := range 10 {
			d, m := deliver(body(fmt.Sprintf("green%d", i)))
			messages = append(messages, m)
			b.incoming <- d
		}
		time.Sleep(time.Hour)
		b.Drain()
		<-ended
		if b.testbeds.peak() != 3 || b.testbeds.count() != 10 {
			t.Errorf("%d tests at a time, %d in all; want 3 and 10", b.testbeds.peak(), b.testbeds.count())
		}
		for i, m := range messages {
			if m.settled() != acked {
				t.Errorf("request %d: %v, want it acknowledged", i, m.settled())
			}
		}
	})
}

func TestReconfigureChangesSlots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes, func(s *Settings) { s.Slots = 1 })
		ended := b.dispatching(t.Context())
		for i := range 9 {
			d, _ := deliver(body(fmt.Sprintf("green%d", i)))
			b.incoming <- d
		}
		time.Sleep(time.Minute)
		if b.testbeds.peak() != 1 {
			t.Errorf("%d tests at a time, want 1", b.testbeds.peak())
		}
		if err := b.Reconfigure(b.settings.Queues, 4); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if b.testbeds.peak() != 4 {
			t.Errorf("%d tests at a time, want 4", b.testbeds.peak())
		}
		if err := b.Reconfigure(nil, 4); err == nil {
			t.Error("a worker without queues was accepted")
		}
		time.Sleep(time.Hour)
		b.Drain()
		<-ended
	})
}

func TestDrain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		length  time.Duration // of the test that runs
		cancel  bool          // the context ends, too
		running [2]int        // how its request is settled
		results int
		within  time.Duration
	}{
		"a test that ends in time":         {10 * time.Minute, false, acked, 1, 11 * time.Minute},
		"a test that runs on":              {10 * time.Hour, false, requeued, 0, time.Hour + time.Minute},
		"no patience":                      {10 * time.Hour, true, requeued, 0, time.Minute},
		"the store away, at a drain's end": {time.Minute, false, requeued, 0, time.Hour + time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				killed := false
				b := newBench(t, func(ctx context.Context, job testbed.Job) (testbed.Outcome, error) {
					output(job.OutputDir, map[string]string{"log": "x"})
					if !sleep(ctx, test.length) {
						killed = true
						return testbed.Outcome{}, context.Cause(ctx)
					}
					return testbed.Outcome{Duration: test.length}, nil
				}, func(s *Settings) { s.Slots = 1 })
				if strings.HasPrefix(name, "the store") {
					away(b, "put", 100*time.Hour)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ended := b.dispatching(ctx)
				first, running := deliver(body("green"))
				second, waiting := deliver(body("blue"))
				b.incoming <- first
				b.incoming <- second
				synctest.Wait()
				began := time.Now()
				b.Drain()
				b.Drain() // twice is once
				synctest.Wait()
				if waiting.settled() != requeued {
					t.Errorf("the request that waited: %v, want it requeued at once", waiting.settled())
				}
				late, pushed := deliver(body("red"))
				b.incoming <- late // was under way when the drain began
				if test.cancel {
					cancel()
				}
				<-ended
				if took := time.Since(began); took > test.within {
					t.Errorf("the drain took %s, want at most %s", took, test.within)
				}
				if running.settled() != test.running || pushed.settled() != requeued || b.testbeds.count() != 1 {
					t.Errorf("running %v, pushed %v, %d begun; want %v, requeued, 1", running.settled(), pushed.settled(), b.testbeds.count(), test.running)
				}
				if got := len(b.stored(t, "green")); got != test.results || len(b.session.completions(t)) != test.results {
					t.Errorf("%d results, %d announced, want %d", got, len(b.session.completions(t)), test.results)
				}
				if killed != (test.length > time.Hour) {
					t.Errorf("the test was killed: %t", killed)
				}
				shelved := 0
				if strings.HasPrefix(name, "the store") {
					shelved = 1
				}
				if left := b.folders(t); len(left) != shelved {
					t.Errorf("left behind: %v", left)
				}
			})
		})
	}
}

// A session is lost while the test runs, and the request comes back to this worker: it has it already.
func TestRequestComesBackWhileItRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		ended := b.dispatching(t.Context())
		first, lost := deliver(body("green"))
		b.incoming <- first
		time.Sleep(time.Minute)
		lost.lose()
		again, fresh := redeliver(body("green"))
		b.incoming <- again
		other, second := redeliver(body("blue")) // another worker's
		b.incoming <- other
		time.Sleep(time.Hour)
		b.Drain()
		<-ended
		if lost.settled() != unsettled || fresh.settled() != acked || second.settled() != acked {
			t.Errorf("settled: lost %v, again %v, other %v", lost.settled(), fresh.settled(), second.settled())
		}
		if got := len(b.stored(t, "green")); got != 1 || b.testbeds.count() != 2 {
			t.Errorf("%d results of green from %d runs in all, want 1 from 2", got, b.testbeds.count())
		}
	})
}

// A session is lost between the result and the acknowledgement.
func TestRequestComesBackAfterItWasDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		ended := b.dispatching(t.Context())
		// Twice the same request, queued together: two results are due, each message takes one.
		first, lost1 := deliver(body("green"))
		second, lost2 := deliver(body("green"))
		b.incoming <- first
		b.incoming <- second
		time.Sleep(time.Minute)
		lost1.lose()
		lost2.lose()
		time.Sleep(time.Hour)
		if got := len(b.stored(t, "green")); got != 2 {
			t.Fatalf("%d results, want 2", got)
		}
		var fresh [3]*fakeMessage
		for i := range 2 {
			again, m := redeliver(body("green"))
			fresh[i] = m
			b.incoming <- again
		}
		// A third one is new.
		third, m := deliver(body("green"))
		fresh[2] = m
		b.incoming <- third
		time.Sleep(time.Hour)
		b.Drain()
		<-ended
		for i, m := range fresh {
			if m.settled() != acked {
				t.Errorf("message %d: %v, want it acknowledged", i+1, m.settled())
			}
		}
		if got := len(b.stored(t, "green")); got != 3 || b.testbeds.count() != 3 {
			t.Errorf("%d results from %d runs, want 3 from 3", got, b.testbeds.count())
		}
		if left := len(b.ledger.entries); left != 0 {
			t.Errorf("%d entries are left in the ledger", left)
		}
	})
}

// The request was taken from us while its test ran, and another worker was faster.
func TestAnotherWorkerWasFaster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		ended := b.dispatching(t.Context())
		d, lost := deliver(body("green"))
		b.incoming <- d
		time.Sleep(time.Minute)
		lost.lose()
		theirs := b.foreign(t, time.Now(), body("green"))
		time.Sleep(time.Hour)
		b.Drain()
		<-ended
		if got := b.stored(t, "green"); len(got) != 1 || got[0] != theirs {
			t.Errorf("results %v, want only %s", got, theirs)
		}
	})
}

// A request that came a second time waits for the store. Meanwhile it is taken from us, another worker runs and settles it, and its lease
// is gone by the time at which the store answers us.
func TestSettledElsewhereWhileTheStoreWasAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		other := b.beside(t, passes)
		b.store.hookLeases(func(string, string) error { return store.ErrUnavailable })
		ended, othersEnded := b.dispatching(t.Context()), other.dispatching(t.Context())
		ours, lost := redeliver(body("green"))
		b.incoming <- ours
		time.Sleep(5 * time.Second)
		lost.lose()
		theirs, message := redeliver(body("green"))
		other.incoming <- theirs
		time.Sleep(10 * time.Minute)
		b.store.hookLeases(nil)
		time.Sleep(time.Hour)
		b.Drain()
		other.Drain()
		<-ended
		<-othersEnded
		if message.settled() != acked || other.testbeds.count() != 1 {
			t.Errorf("the other worker: %v, %d tests begun", message.settled(), other.testbeds.count())
		}
		if got := b.stored(t, "green"); len(got) != 1 || b.testbeds.count() != 0 {
			t.Errorf("results %v, %d tests begun by who had lost the request", got, b.testbeds.count())
		}
	})
}

// What waits for a slot when its session is lost is somebody else's.
func TestStaleWaitingRequestIsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes, func(s *Settings) { s.Slots = 1 })
		ended := b.dispatching(t.Context())
		first, _ := deliver(body("green"))
		second, lost := deliver(body("blue"))
		b.incoming <- first
		b.incoming <- second
		synctest.Wait()
		lost.lose()
		time.Sleep(time.Hour)
		b.Drain()
		<-ended
		if b.testbeds.count() != 1 {
			t.Errorf("%d tests begun, want 1", b.testbeds.count())
		}
	})
}

func TestLedgerForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		d, m := deliver("green")
		e := l.open("one", d)
		m.lose()
		if err := e.ack(); !isStale(err) {
			t.Fatalf("a stale message was acknowledged: %v", err)
		}
		again, _ := redeliver("green")
		if _, claimed := l.claim(again); claimed {
			t.Error("a request that came back was given to a life that is over")
		}
		if len(l.entries) != 0 {
			t.Errorf("%d entries are left, want none", len(l.entries))
		}
	})
}

func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	good := Settings{Queues: []request.Queue{noble}, Slots: 1, StateDirectory: "/s", Timeout: 1}
	for name, change := range map[string]func(*Settings){
		"no queues":        func(s *Settings) { s.Queues = nil },
		"a dash":           func(s *Settings) { s.Queues = []request.Queue{{Release: "no-ble", Architecture: "amd64"}} },
		"no slots":         func(s *Settings) { s.Slots = 0 },
		"no state":         func(s *Settings) { s.StateDirectory = "" },
		"a relative state": func(s *Settings) { s.StateDirectory = "state" },
		"no timeout":       func(s *Settings) { s.Timeout = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := good
			change(&settings)
			if _, err := New(settings, nil, nil, nil); err == nil {
				t.Errorf("accepted: %+v", settings)
			}
		})
	}
}

func TestTwoWorkersInOneStateDirectory(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	first, err := openState(path)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := openState(path); err == nil {
		second.close()
		t.Error("two workers in one folder")
	}
	first.close()
	again, err := openState(path)
	if err != nil {
		t.Fatal(err)
	}
	again.close()
}

func TestLeftoversAreCleared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		folder, err := b.state.makeRun("20000101-000000-dead")
		if err != nil {
			t.Fatal(err)
		}
		output(folder, map[string]string{"work/testbed/root/etc/passwd": "x"})
		b.clearLeftovers(t.Context(), b.state)
		if left := b.folders(t); len(left) != 0 || len(b.testbeds.removed) != 1 {
			t.Errorf("left %v, removed %v", left, b.testbeds.removed)
		}
	})
}

// The main loop's pulse is felt while it runs, also in a drain, and not before or after.
func TestPulse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		pulse := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return b.Pulse(ctx)
		}
		if err := pulse(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before the start: %v", err)
		}
		ended := b.dispatching(t.Context())
		d, _ := deliver(body("green"))
		b.incoming <- d
		if err := pulse(); err != nil {
			t.Errorf("while a test runs: %v", err)
		}
		b.Drain()
		if err := pulse(); err != nil {
			t.Errorf("in a drain: %v", err)
		}
		<-ended
		if err := pulse(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the end: %v", err)
		}
	})
}
