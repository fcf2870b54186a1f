package lease

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// Dead are the handles of the leases that the worker before this one could not bring to an end, but for those whose lives go
// on. It is called before any life begins.
func (r *Registry) Dead(lives func(handle string) bool) (handles []string) {
	found, err := os.ReadDir(r.records)
	if err != nil {
		r.log.Error("looking for the leases of a dead worker", "error", err)
		return nil
	}
	for _, file := range found {
		if !lives(file.Name()) {
			handles = append(handles, file.Name())
		}
	}
	return handles
}

// EndDead says in the store that lives of a dead worker are over, so that nobody waits for them. What they published without
// settling the message is found by whoever gets the message, who needs the lease for that; so it is not just removed. It
// tries until it succeeds.
func (r *Registry) EndDead(ctx context.Context, handles []string) {
	for _, handle := range handles {
		for pause := time.Second; ; pause = min(2*pause, 5*time.Minute) {
			err := r.endDead(ctx, handle)
			if err == nil {
				break
			}
			if pause == time.Second {
				r.log.Warn("the lease of a dead worker's run cannot be ended; trying until it can", "run", handle, "error", err)
			}
			if !sleep(ctx, pause) {
				return
			}
		}
	}
}

func (r *Registry) endDead(ctx context.Context, handle string) error {
	old, err := readRecord(r.record(handle))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if strings.HasPrefix(handle, ".") || store.CheckObject(Container, old.Object) != nil {
		return old.remove() // a draft, or damaged
	}
	switch content, err := get(ctx, r.store, old.Object); {
	case errors.Is(err, store.ErrNotFound): // settled, or never written
	case err != nil:
		return err
	case content.Worker != r.worker || content.Handle != handle || content.Ended: // taken over
	case content.Waiting:
		if err := remove(ctx, r.store, old.Object); err != nil {
			return err
		}
	default:
		content = old.supplement(content)
		content.Ended = true
		if err := put(ctx, r.store, old.Object, content); err != nil {
			return err
		}
		r.log.Info("ended the lease of a dead worker's run", content.attributes()...)
	}
	return old.remove()
}

// recall is what is known of a lease of the worker before this one, which may not have come to tell the store all of it.
func (r *Registry) recall(c Content) Content {
	if old, err := readRecord(r.record(c.Handle)); err == nil {
		return old.supplement(c)
	}
	return c // EndDead has told the store
}

// Sweeping: leases that nobody writes are looked at twice, with at least this time between.
const (
	// SweepInterval is how often Sweep is worth calling.
	SweepInterval = 10 * time.Minute
	// oldest is when a lease is of no use to anybody, because results are not looked back for so long.
	oldest = 8 * 24 * time.Hour
)

// Sweep removes leases whose message cannot be there any more: a worker was killed between the acknowledgement of a message
// and the removal of its lease. That is known of a lease that has not changed since the call before this one, when nobody
// else has the identity in work and no message waits in its queue: waiting tells how many do. Others are removed after eight
// days. What cannot be told now is left for the next call.
func (r *Registry) Sweep(ctx context.Context, waiting func(ctx context.Context, queue string) (int, error)) error {
	stale, err := r.unchanged(ctx)
	if err != nil {
		return err
	}
	depths := map[string]int{}
	for _, object := range stale {
		content, err := get(ctx, r.store, object)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if time.Since(r.before[object]) < oldest && content.Queue != "" {
			depth, asked := depths[content.Queue]
			if !asked {
				if depth, err = waiting(ctx, content.Queue); err != nil {
					depth = 1 // nobody knows
				}
				depths[content.Queue] = depth
			}
			if depth > 0 {
				continue
			}
		}
		if r.keeps(content.Handle) && content.Worker == r.worker {
			continue // its keeper cannot write it at the moment
		}
		if err := remove(ctx, r.store, object); err != nil {
			return err
		}
		r.log.Info("removed a lease whose request is settled", append(content.attributes(), "lease", object)...)
	}
	return nil
}

// unchanged lists the leases of identities in which nothing has changed since the last call.
func (r *Registry) unchanged(ctx context.Context) ([]string, error) {
	now, alive := map[string]time.Time{}, map[string]bool{}
	for entry, err := range store.Walk(ctx, r.store, Container, "", "", "") {
		if errors.Is(err, store.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		now[entry.Name] = entry.Modified
		if before, known := r.before[entry.Name]; !known || !before.Equal(entry.Modified) {
			identity, _, _ := strings.Cut(entry.Name, "/")
			alive[identity] = true
		}
	}
	r.before = now
	var stale []string
	for object := range now {
		if identity, _, _ := strings.Cut(object, "/"); !alive[identity] {
			stale = append(stale, object)
		}
	}
	return stale, nil
}
