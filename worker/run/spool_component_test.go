//go:build component

package run

import (
	"errors"
	"fmt"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// The store is away: the broker pushes on, a request for each slot that has become free, and no more than that. Then the
// worker is stopped, the store comes back, and the next worker in its folder stores what lies there without a run.
func TestStoreAwayThenRestart(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	s := newStub(t)
	watched := &hookedStore{Store: c.store}
	watched.hook(func(call, _ string) error {
		if call == "put" {
			return fmt.Errorf("put: %w", store.ErrUnavailable)
		}
		return nil
	})
	folder := t.TempDir()
	limited := func(s *Settings) { s.StateDirectory, s.SpoolLimit = folder, 4 }
	first := c.work(t, s, c.workerAccount(t), watched, 2, limited)
	var bodies []string
	for i := range 7 {
		bodies = append(bodies, body(fmt.Sprintf("green%d", i)))
	}
	c.request(t, bodies...)
	queuetest.Eventually(t, "the spool is full", func() bool {
		return first.spooled() >= 4 && len(first.Running()) == first.spooled() && first.places.shut() && first.places.busy() == 0
	})
	if err := first.spoolRoom(); !errors.Is(err, ErrSpoolFull) {
		t.Errorf("room: %v", err)
	}
	spooled := first.spooled()
	if spooled > 6 {
		t.Errorf("%d results spooled, want at most 4 and one for each slot", spooled)
	}
	queuetest.Eventually(t, "the others wait at the broker", func() bool { return c.depth(t) == 7-spooled })
	first.cancel()
	first.wait(t)
	queuetest.Eventually(t, "all requests are back", func() bool { return c.depth(t) == 7 })

	watched.hook(nil)
	second := c.work(t, s, c.workerAccount(t), watched, 2, limited)
	queuetest.Eventually(t, "all are done", func() bool {
		for i := range 7 {
			if len(c.results(t, fmt.Sprintf("green%d", i))) == 0 {
				return false
			}
		}
		return true
	})
	c.drained(t, second)
	for i := range 7 {
		pkg := fmt.Sprintf("green%d", i)
		if results := c.results(t, pkg); len(results) != 1 || s.count(pkg) != 1 {
			t.Errorf("%s: results %v from %d runs, want one from one", pkg, results, s.count(pkg))
		}
	}
	if second.spooled() != 0 {
		t.Errorf("%d results are left in the spool", second.spooled())
	}
}
