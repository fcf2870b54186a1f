package lease

import (
	"context"
	"errors"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// Watch is what a life has seen of the other leases of its request's identity, with the times of its own clock.
type Watch struct {
	lease *Lease
	seen  map[string]sighting
}

type sighting struct {
	content Content
	since   time.Time
}

// Other is another life's lease as its reader judges it.
type Other struct {
	Object string
	Content
	Dead bool // nobody works under it any more
}

// Watch begins to watch the others.
func (k *Lease) Watch() *Watch { return &Watch{lease: k, seen: map[string]sighting{}} }

// Others reads the other leases, by name. Those of lives that waited and are dead are removed: nobody will ask for them.
func (w *Watch) Others(ctx context.Context) ([]Other, error) {
	var others []Other
	s := w.lease.registry.store
	own := w.lease.Object()
	// One page, without the empty one that would prove it the last: a request has a few leases, and no store gives so little.
	entries, err := s.List(ctx, Container, store.Query{Prefix: w.lease.request.folder()})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil // no container, no lease
	}
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if entry.Name == own {
			continue
		}
		content, err := get(ctx, s, entry.Name)
		if errors.Is(err, store.ErrNotFound) {
			continue // a listing is late to forget it
		}
		if err != nil {
			return nil, err
		}
		other := w.judge(entry.Name, content)
		if other.Dead && other.Waiting {
			if err := remove(ctx, s, entry.Name); err != nil {
				return nil, err
			}
			continue
		}
		others = append(others, other)
	}
	return others, nil
}

// judge says whether somebody still works under a lease.
func (w *Watch) judge(object string, c Content) Other {
	before, known := w.seen[object]
	if !known || !before.content.equal(c) {
		before = sighting{c, time.Now()}
		w.seen[object] = before
	}
	other := Other{Object: object, Content: c}
	registry := w.lease.registry
	switch {
	case c.Ended:
		other.Dead = true
	case c.Handle == w.lease.handle(): // from a try to take it over whose end was not seen
		other.Dead = true
	case c.Worker == registry.worker: // this process knows better, and the one before it is dead
		if other.Dead = !registry.keeps(c.Handle); other.Dead {
			other.Content = registry.recall(c)
		}
	default:
		other.Dead = time.Since(before.since) >= Lifetime
	}
	return other
}
