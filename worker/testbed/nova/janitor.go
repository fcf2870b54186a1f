package nova

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

const (
	sweepLimit = 5 * time.Minute
	// hands is how many servers are deleted at a time: enough for a hundred in a minute, and no burden for the cloud.
	hands = 8
)

// sweep removes the testbeds of a region that nobody owns: those of this worker that none of its runs has, and those of other workers
// that Tending.Over names. What has not both of our tags, or does not say whose it is, is left alone.
func (t *tender) sweep(ctx context.Context, source string) {
	limited, cancel := context.WithTimeoutCause(ctx, sweepLimit, fmt.Errorf("not done within %s", sweepLimit))
	defer cancel()
	removed, err := t.sweepRegion(limited, source)
	if ctx.Err() != nil {
		return
	}
	t.mu.Lock()
	t.swept[source] = t.regions.now()
	t.mu.Unlock()
	if err != nil {
		t.with.Log.Warn("testbeds that nobody owns may be left in a region; they are looked for again", "source", sourceName(source),
			"next in", sweepEvery, "error", err)
	}
	if removed > 0 {
		t.with.Log.Info("removed testbeds that nobody owns", "source", sourceName(source), "servers", removed)
	}
}

func (t *tender) sweepRegion(ctx context.Context, source string) (removed int, err error) {
	region, err := t.regions.open(source)
	if err != nil {
		return 0, err
	}
	servers, err := region.ServersTagged(ctx, ownTag, kindTag)
	if err != nil {
		return 0, err
	}
	left, err := t.abandoned(ctx, servers) // after the listing: whoever is in it was in use before, or is over
	return t.remove(ctx, region, left, err)
}

// abandoned picks the servers that nobody owns. An error is about those of other workers, who are then left alone.
func (t *tender) abandoned(ctx context.Context, servers []openstack.Server) (left []owned, err error) {
	alive := t.alive()
	foreign := map[testbed.Owner][]owned{}
	for _, server := range servers {
		o, ours := ownedBy(server)
		switch {
		case !ours:
		case o.Worker != ownWorker(t.with.Worker):
			foreign[o.Owner] = append(foreign[o.Owner], o)
		case !alive[testbedPrefix+o.name]:
			left = append(left, o)
		}
	}
	if len(foreign) == 0 || t.with.Over == nil {
		return left, nil
	}
	owners := make([]testbed.Owner, 0, len(foreign))
	for owner := range foreign {
		owners = append(owners, owner)
	}
	over, err := t.with.Over(ctx, owners)
	for _, owner := range over {
		left = append(left, foreign[owner]...)
	}
	return left, err
}

// ownWorker is the worker's name as it can be read from a tag.
func ownWorker(name string) string { return tag(workerPrefix, name)[len(workerPrefix):] }

// remove deletes servers, some at a time. before is what went wrong already.
func (t *tender) remove(ctx context.Context, region *openstack.Region, left []owned, before error) (removed int, failed error) {
	failed = before
	jobs := make(chan owned)
	var mu sync.Mutex
	var working sync.WaitGroup
	for range min(hands, len(left)) {
		working.Go(func() {
			for o := range jobs {
				err := region.DeleteServer(ctx, o.server.ID)
				mu.Lock()
				if err == nil {
					removed++
				}
				failed = errors.Join(failed, err)
				mu.Unlock()
				t.with.Log.Info("deleting a testbed that nobody owns", "server", o.server.ID, "name", o.server.Name, "of worker", o.Worker,
					"run", o.Run, "error", err)
			}
		})
	}
	for _, o := range left {
		jobs <- o
	}
	close(jobs)
	working.Wait()
	return removed, failed
}
