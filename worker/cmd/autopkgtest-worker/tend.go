package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lease"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/run"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// tend has the backend look after its regions and what lies in them, until ctx ends. Meanwhile the worker shows the others that it
// lives, and so that they need not clean up after it.
func tend(ctx context.Context, worker *run.Worker, runner *testbed.Runner, census *lease.Census, log *slog.Logger) {
	// The name is this process's own only from here on: another one with the same state directory has been refused by now.
	if err := worker.Pulse(ctx); err != nil {
		return
	}
	var beating sync.WaitGroup
	defer beating.Wait()
	beating.Go(func() { beat(ctx, census, log) })
	runner.Tend(ctx, worker.Queues, func(ctx context.Context, owners []testbed.Owner) ([]testbed.Owner, error) {
		holders := make([]lease.Holder, len(owners))
		for i, owner := range owners {
			holders[i] = lease.Holder(owner)
		}
		over, err := census.Over(ctx, holders)
		gone := make([]testbed.Owner, len(over))
		for i, holder := range over {
			gone[i] = testbed.Owner(holder)
		}
		return gone, err
	})
}

func beat(ctx context.Context, census *lease.Census, log *slog.Logger) {
	ticker := time.NewTicker(lease.CensusBeat)
	defer ticker.Stop()
	for {
		if err := census.Beat(ctx); err != nil && ctx.Err() == nil {
			log.Warn("the store does not take the sign of life of this worker", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// placesCheck is for the health listener. A region that is out of service is told; it is wrong when there is no other one.
func placesCheck(runner *testbed.Runner) run.Check {
	return run.Check{
		ID: "regions", Title: "There is a region in which testbeds can be made", Check: runner.CheckPlaces,
		Tell: func() string {
			var words []string
			for _, place := range runner.Places() {
				switch {
				case place.Reason != nil:
					words = append(words, fmt.Sprintf("%s: %s", place.Name, place.Reason))
				case place.Room >= 0:
					words = append(words, fmt.Sprintf("%s: room for %d testbeds", place.Name, place.Room))
				}
			}
			return strings.Join(words, "; ")
		},
	}
}
