package nova

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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
		t.with.Log.Info("removed testbeds that nobody owns", "source", sourceName(source), "servers and addresses", removed)
	}
}

func (t *tender) sweepRegion(ctx context.Context, source string) (removed int, err error) {
	region, err := t.regions.open(source)
	if err != nil {
		return 0, err
	}
	found, err := inventory(ctx, region)
	if err != nil {
		return 0, err
	}
	left, err := t.abandoned(ctx, found) // after the listing: whoever is in it was in use before, or is over
	return t.remove(ctx, left, err)
}

// inventory is everything in a region that says that it is a testbed's: servers first, then what leads to them.
func inventory(ctx context.Context, region *openstack.Region) (found []owned, err error) {
	servers, err := region.ServersTagged(ctx, ownTag, kindTag)
	if err != nil {
		return nil, err
	}
	for _, server := range servers {
		if server.Tags == nil {
			continue
		}
		if o, ours := ownedBy(*server.Tags); ours {
			o.id, o.label = server.ID, server.Name
			o.remove = func(ctx context.Context) error { return region.DeleteServer(ctx, server.ID) }
			found = append(found, o)
		}
	}
	addresses, err := region.FloatingIPs(ctx)
	if errors.Is(err, openstack.ErrNotFound) || errors.Is(err, openstack.ErrNoService) {
		return found, nil // a cloud without
	}
	for _, address := range addresses {
		if o, ours := ownedBy(strings.Fields(address.Description)); ours {
			o.id, o.label = address.ID, address.FloatingIP
			o.remove = func(ctx context.Context) error { return region.Release(ctx, address.ID) }
			found = append(found, o)
		}
	}
	return found, err
}

// abandoned picks what nobody owns. An error is about what is of other workers, which is then left alone.
func (t *tender) abandoned(ctx context.Context, found []owned) (left []owned, err error) {
	alive := t.alive()
	foreign := map[testbed.Owner][]owned{}
	for _, o := range found {
		switch {
		case o.Worker != ownWorker(t.with.Worker):
			foreign[o.Owner] = append(foreign[o.Owner], o)
		case !alive[testbedPrefix+o.name]:
			left = append(left, o)
		}
	}
	if len(foreign) == 0 || t.with.Over == nil {
		return left, nil
	}
	over, err := t.with.Over(ctx, slices.Collect(maps.Keys(foreign)))
	for _, owner := range over {
		left = append(left, foreign[owner]...)
	}
	return left, err
}

// ownWorker is the worker's name as it can be read from a tag.
func ownWorker(name string) string { return tag(workerPrefix, name)[len(workerPrefix):] }

// remove removes them, some at a time. before is what went wrong already.
func (t *tender) remove(ctx context.Context, left []owned, before error) (removed int, failed error) {
	failed = before
	jobs := make(chan owned)
	var mu sync.Mutex
	var working sync.WaitGroup
	for range min(hands, len(left)) {
		working.Go(func() {
			for o := range jobs {
				err := o.remove(ctx)
				mu.Lock()
				if err == nil {
					removed++
				}
				failed = errors.Join(failed, err)
				mu.Unlock()
				t.with.Log.Info("removing what nobody owns", "id", o.id, "name", o.label, "of worker", o.Worker, "run", o.Run, "error", err)
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
