package run

import (
	"context"
	"fmt"
	"path"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// TestTakenOver lets a worker be taken for dead while it runs a test, because its lease cannot be written, and come back at
// every moment of what the second one does instead, with uploads of any length: one result counts, and it is announced.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	delays := []time.Duration{0, 2 * time.Second, 25 * time.Second}
	for _, upload := range delays {
		t.Run(fmt.Sprintf("uploads of %s", upload), func(t *testing.T) {
			t.Parallel()
			for _, blind := range []time.Duration{50 * time.Second, 3 * time.Minute} {
				for _, ends := range []time.Duration{64 * time.Second, 70 * time.Second, 2 * time.Minute, 5 * time.Minute} {
					for _, second := range []time.Duration{0, 10 * time.Second, 4 * time.Minute} {
						synctest.Test(t, func(t *testing.T) { takenOver(t, upload, blind, ends, second) })
					}
				}
			}
		})
	}
}

// takenOver: the first worker writes no lease for the time blind after it lost its message, its test ends after the time ends,
// the second one's test takes the time second.
func takenOver(t *testing.T, upload, blind, ends, second time.Duration) {
	lasting := func(d time.Duration) func(context.Context, testbed.Job) (testbed.Outcome, error) {
		return func(ctx context.Context, job testbed.Job) (testbed.Outcome, error) {
			sleep(ctx, d)
			return quick(ctx, job)
		}
	}
	one := newBench(t, lasting(ends+time.Minute))
	two := one.beside(t, lasting(second))
	slow := func(call, object string) error {
		if call == "put" && path.Base(object) == "result.tar" {
			time.Sleep(upload)
		}
		return nil
	}
	one.store.hook(slow)
	two.store.hook(slow)
	first, other := one.dispatching(t.Context()), two.dispatching(t.Context())
	d, lost := deliver(body("green"))
	one.incoming <- d
	time.Sleep(time.Minute)
	back := time.Now().Add(blind)
	one.store.hookLeases(func(string, string) error {
		if time.Now().Before(back) {
			return store.ErrUnavailable
		}
		return nil
	})
	lost.lose()
	again, m := redeliver(body("green"))
	two.incoming <- again
	time.Sleep(30 * time.Minute)
	what := fmt.Sprintf("uploads of %s, blind for %s, the first ends after %s, the second runs for %s", upload, blind, ends, second)
	ids := one.stored(t, "green")
	if len(ids) != 1 || m.settled() != acked {
		t.Errorf("%s: results %v, want one; settled %v", what, ids, m.settled())
	}
	told := append(one.session.completions(t), two.session.completions(t)...)
	if len(told) == 0 || len(ids) == 1 && told[len(told)-1].Location.RunID != ids[0] {
		t.Errorf("%s: announced %+v, want %s", what, told, ids)
	}
	end(t, []*bench{one, two}, []<-chan struct{}{first, other})
}
