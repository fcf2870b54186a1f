package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
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
			w.log.Error("the folder of a dead worker's run is left behind", "folder", folder, "error", err)
			continue
		}
		w.log.Info("removed the folder of a dead worker's run", "folder", folder)
	}
}

// deadLeases are the records of the leases that the worker before this one could not bring to an end. It is called before
// any life begins.
func (w *Worker) deadLeases(s *state) (handles []string) {
	found, err := os.ReadDir(s.leases)
	if err != nil {
		w.log.Error("looking for the leases of a dead worker", "error", err)
		return nil
	}
	for _, record := range found {
		if _, err := os.Stat(w.spool.path(record.Name())); err == nil {
			continue // its life goes on
		}
		handles = append(handles, record.Name())
	}
	return handles
}

// endLeases says in the store that the lives of a dead worker are over, so that nobody waits for them. What they published
// without getting rid of the message is found by whoever gets the message, who needs the lease for that; so it is not just
// removed. It tries until it succeeds.
func (w *Worker) endLeases(ctx context.Context, s *state, handles []string) {
	for _, handle := range handles {
		for pause := firstPause; ; pause = min(2*pause, longestPause) {
			err := w.endLease(ctx, s, handle)
			if err == nil {
				break
			}
			if pause == firstPause {
				w.log.Warn("the lease of a dead worker's run cannot be ended; trying until it can", "handle", handle, "error", err)
			}
			if !sleep(ctx, pause) {
				return
			}
		}
	}
	if err := w.sweepLeases(ctx); err != nil && ctx.Err() == nil {
		w.log.Warn("leases that nobody needs any more are left in the store until the next start", "error", err)
	}
}

func (w *Worker) endLease(ctx context.Context, s *state, handle string) error {
	record := s.leaseRecord(handle)
	name, err := os.ReadFile(record)
	if err != nil {
		return err
	}
	object := strings.TrimSpace(string(name))
	if store.CheckObject(leaseContainer, object) == nil {
		content, err := getLease(ctx, w.store, object)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		// Somebody may have taken it over, or never have seen it.
		if err == nil && content.Worker == s.worker && content.Handle == handle && !content.Ended {
			if err := w.endDeadLease(ctx, object, content); err != nil {
				return err
			}
			w.log.Info("ended the lease of a dead worker's run", "handle", handle, "package", content.Package)
		}
	}
	if err := os.Remove(record); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the record of a lease: %w", err)
	}
	return nil
}

// endDeadLease ends the lease of a life that is over. One that only waited has published nothing, so nobody will ask for it.
func (w *Worker) endDeadLease(ctx context.Context, object string, content leaseContent) error {
	if content.Waiting {
		return deleteLease(ctx, w.store, object)
	}
	content.Ended = true
	return putLease(ctx, w.store, object, content)
}

// leaseAge is when a lease is of no use to anybody: its worker has not written it for longer than results are looked back
// for. Between the clocks of two machines, a day is ample.
const leaseAge = lookBack + 24*time.Hour

// sweepLeases removes leases of workers that are gone for good.
func (w *Worker) sweepLeases(ctx context.Context) error {
	var old []string
	for entry, err := range store.Walk(ctx, w.store, leaseContainer, "", "", "") {
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if time.Since(entry.Modified) > leaseAge {
			old = append(old, entry.Name)
		}
	}
	for _, object := range old {
		if err := deleteLease(ctx, w.store, object); err != nil {
			return err
		}
	}
	if len(old) > 0 {
		w.log.Info("removed leases of workers that are gone", "leases", len(old))
	}
	return nil
}
