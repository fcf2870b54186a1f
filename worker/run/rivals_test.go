package run

import (
	"context"
	"fmt"
	"path"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// TestRivals lets two workers end the same request, one a moment after the other, with every combination of how long their
// uploads take: one result counts, and both get rid of the request. (In the same second they take the same run id, and so
// make one result without knowing of each other.)
func TestRivals(t *testing.T) {
	t.Parallel()
	delays := []time.Duration{0, 900 * time.Millisecond, 4 * time.Second}
	for _, log1 := range delays {
		for _, log2 := range delays {
			t.Run(fmt.Sprintf("log after %s and %s", log1, log2), func(t *testing.T) {
				t.Parallel()
				for _, tar1 := range delays {
					for _, tar2 := range delays {
						synctest.Test(t, func(t *testing.T) {
							rivals(t, 1, [2]time.Duration{log1, log2}, [2]time.Duration{tar1, tar2})
						})
						synctest.Test(t, func(t *testing.T) {
							rivals(t, 0, [2]time.Duration{log1, log2}, [2]time.Duration{tar1, tar2})
						})
					}
				}
			})
		}
	}
}

func rivals(t *testing.T, later int, log, tar [2]time.Duration) {
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
		b.Worker.store = &hookedStore{Store: one.store.Store, before: func(call, object string) error {
			if call == "put" {
				time.Sleep(map[string]time.Duration{"log.gz": log[i], "result.tar": tar[i]}[path.Base(object)])
			}
			return nil
		}}
		d, m := deliver(body("green"))
		messages[i] = m
		d.Redelivered = i == 1
		l := b.newLife(d, b.state)
		if i == 0 { // it went to the other one, and came back
			m.lose()
			again, fresh := redeliver(body("green"))
			if !b.ledger.claim(again) {
				t.Fatal("not claimed")
			}
			messages[0] = fresh
		}
		workers.Go(func() {
			if i == later {
				time.Sleep(1500 * time.Millisecond)
			}
			l.live(t.Context())
		})
	}
	workers.Wait()
	if ids := one.stored(t, "green"); len(ids) != 1 {
		t.Errorf("worker %d later, log.gz after %v, result.tar after %v: results %v, want one", later+1, log, tar, ids)
	}
	for i, m := range messages {
		if m.settled() != acked {
			t.Errorf("worker %d: settled %v, want it acknowledged", i+1, m.settled())
		}
	}
}
