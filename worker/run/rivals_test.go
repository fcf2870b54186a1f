package run

import (
	"context"
	"fmt"
	"path"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// TestRivals lets two workers end the same request, one a moment after the other, with every combination of how long their
// uploads take, and whoever of them has the message: one result counts, and the one with the message gets rid of it. (In the
// same second they take the same run id, and so make one result without knowing of each other.)
func TestRivals(t *testing.T) {
	t.Parallel()
	delays := []time.Duration{0, 900 * time.Millisecond, 4 * time.Second}
	for _, log1 := range delays {
		for _, log2 := range delays {
			t.Run(fmt.Sprintf("log after %s and %s", log1, log2), func(t *testing.T) {
				t.Parallel()
				for _, tar1 := range delays[1:] {
					for _, tar2 := range delays[1:] {
						for later := range 2 {
							for holder := range 2 {
								synctest.Test(t, func(t *testing.T) {
									rivals(t, later, holder, [2]time.Duration{log1, log2}, [2]time.Duration{tar1, tar2})
								})
							}
						}
					}
				}
			})
		}
	}
}

// blind is a store that is late to list leases: that is how two come to run the same request at all.
type blind struct{ store.Store }

func (b blind) List(ctx context.Context, container string, query store.Query) ([]store.Entry, error) {
	if container == leaseContainer {
		return nil, nil
	}
	return b.Store.List(ctx, container, query)
}

func rivals(t *testing.T, later, holder int, log, tar [2]time.Duration) {
	quick := func(_ context.Context, job testbed.Job) (testbed.Outcome, error) {
		output(job.OutputDir, map[string]string{"log": "x"})
		return testbed.Outcome{}, nil
	}
	one, two := newBench(t, quick), newBench(t, quick)
	if err := one.store.CreateContainer(t.Context(), "autopkgtest-noble", true); err != nil {
		t.Fatal(err)
	}
	var workers sync.WaitGroup
	var messages [2]*fakeMessage
	for i, b := range []*bench{one, two} {
		b.Worker.store = blind{&hookedStore{Store: one.store.Store, before: func(call, object string) error {
			if call == "put" {
				time.Sleep(map[string]time.Duration{"log.gz": log[i], "result.tar": tar[i]}[path.Base(object)])
			}
			return nil
		}}}
		d, m := deliver(body("green"))
		messages[i] = m
		d.Redelivered = i == 1
		l := b.newLife(d, b.state)
		b.testbeds.script = func(ctx context.Context, job testbed.Job) (testbed.Outcome, error) {
			if i != holder {
				m.lose() // it went to the other one
			} else if i == 0 {
				m.lose() // and came back
				again, fresh := redeliver(body("green"))
				if !b.ledger.claim(again) {
					t.Error("not claimed")
				}
				messages[0] = fresh
			}
			return quick(ctx, job)
		}
		workers.Go(func() {
			if i == later {
				time.Sleep(1500 * time.Millisecond)
			}
			l.live(t.Context())
		})
	}
	workers.Wait()
	what := fmt.Sprintf("worker %d later, the message at worker %d, log.gz after %v, result.tar after %v", later+1, holder+1, log, tar)
	if ids := one.stored(t, "green"); len(ids) != 1 {
		t.Errorf("%s: results %v, want one", what, ids)
	}
	if got := messages[holder].settled(); got != acked {
		t.Errorf("%s: settled %v, want it acknowledged", what, got)
	}
}
