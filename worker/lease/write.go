package lease

import (
	"context"
	"errors"
	"time"
)

// Write writes the lease and returns its standing: only one that is held was written. Whoever publishes a result makes sure
// of it: a result that names a life without a lease would be taken for that of a settled request.
func (k *Lease) Write(ctx context.Context) (Standing, error) {
	release, err := k.occupy(ctx)
	if err != nil {
		return Unwritten, err
	}
	defer release()
	return k.write(ctx)
}

// write needs the lease occupied. A lease that may look dead is written as one that is taken over (see Take): somebody may do
// that in the same moment.
func (k *Lease) write(ctx context.Context) (Standing, error) {
	began := time.Now()
	if standing, err := k.check(ctx); err != nil || standing == Lost {
		return standing, err
	}
	k.mu.Lock()
	k.content.Beat++
	doubtful := k.tried && !k.fresh()
	k.tried, k.quiet = true, false
	content, object, first := k.content, k.record.Object, !k.written
	k.mu.Unlock()
	if doubtful {
		if err := k.rewrite(ctx, object, content, began); err != nil {
			return Unwritten, err
		}
	} else if err := put(ctx, k.registry.store, object, content); err != nil {
		return Unwritten, err
	}
	k.mu.Lock()
	k.written, k.last, k.ended = true, began, content.Ended
	k.mu.Unlock()
	if first {
		k.note()
	}
	return Held, nil
}

// errOvertaken: the next look finds out who has the lease.
var errOvertaken = errors.New("somebody else has written the lease of the request at the same moment")

func (k *Lease) rewrite(ctx context.Context, object string, content Content, began time.Time) error {
	within, cancel := context.WithDeadlineCause(ctx, began.Add(takeLimit), errors.New("no answer in time"))
	defer cancel()
	if err := put(within, k.registry.store, object, content); err != nil {
		return err
	}
	if !sleep(ctx, takePause) {
		return context.Cause(ctx)
	}
	now, err := get(ctx, k.registry.store, object)
	if err == nil && !now.equal(content) {
		err = errOvertaken
	}
	return err
}
