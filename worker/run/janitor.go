package run

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lease"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// What a dead worker leaves: folders of runs, drafts in the spool (see revive), leases. All of it is found by what lies in
// its own state directory, so nothing of anybody else is touched.

// clearLeftovers removes the folders of runs whose worker died. Their requests went back to the broker with its
// connection.
func (w *Worker) clearLeftovers(ctx context.Context, s *state) {
	if err := testbed.RemoveLeftovers(ctx, s.runs, w.log); err != nil {
		w.log.Error("a dead worker's runs are left behind", "error", err)
	}
	found, err := os.ReadDir(s.runs)
	if err != nil {
		w.log.Error("looking for what a dead worker left behind", "error", err)
		return
	}
	for _, leftover := range found {
		folder := filepath.Join(s.runs, leftover.Name())
		within, cancel := context.WithTimeout(ctx, removeLimit)
		err := w.testbeds.Remove(within, folder)
		cancel()
		if err != nil {
			w.log.Error("the folder of a dead worker's run is left behind", "run", leftover.Name(), "folder", folder, "error", err)
			continue
		}
		w.log.Info("removed the folder of a dead worker's run", "run", leftover.Name(), "folder", folder)
	}
}

// tidyLeases ends the leases of a dead worker's lives, and then removes, again and again, those that nobody needs any more.
func (w *Worker) tidyLeases(ctx context.Context, dead []string) {
	w.leases.EndDead(ctx, dead)
	for {
		if err := w.leases.Sweep(ctx, w.depth); err != nil && ctx.Err() == nil {
			w.log.Warn("leases that nobody needs any more are left in the store for now", "error", err)
		}
		if !sleep(ctx, lease.SweepInterval) {
			return
		}
	}
}

// depth is how many messages wait in a queue.
func (w *Worker) depth(ctx context.Context, name string) (int, error) {
	w.mu.Lock()
	session := w.consumed
	w.mu.Unlock()
	if session == nil {
		return 0, errors.New("there is no session with the broker")
	}
	ready, _, err := session.Depth(ctx, name)
	return ready, err
}

// spools reports whether the result of a life lies in the spool.
func (w *Worker) spools(handle string) bool {
	_, err := os.Stat(w.spool.path(handle))
	return err == nil
}
