package lease

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// Workers holds an object for each worker that makes testbeds where others see them. It is written again and again, and so tells who
// works with this store, and who is silent.
const Workers = "autopkgtest-workers"

// How long a Census waits before it is sure.
const (
	// CensusBeat is how often a worker is to call Beat.
	CensusBeat = time.Minute
	// silence is after how many minutes without a change a worker may be dead.
	silence = 5 * time.Minute
	// confirmed is for how long a silent worker's run must be seen without a lease.
	confirmed = 2 * time.Minute
	// canaryOver is when a silent worker's testbed that is for no request has ended: a canary has a limit far below.
	canaryOver = time.Hour
	// forgotten is when nobody asks for a worker any more.
	forgotten = 8 * 24 * time.Hour
)

// Holder is who has something: a worker, and the handle of a run of its; empty for what is for no request.
type Holder struct{ Worker, Run string }

// Census tells which runs of other workers are over without anybody who could clean up after them. Clocks of two machines are never
// compared: it watches whether objects change, and takes the time itself, so it knows nothing in its first minutes. It is for one
// goroutine.
type Census struct {
	store  store.Store
	worker string
	log    *slog.Logger
	now    func() time.Time

	seen    map[string]sign      // by worker
	without map[Holder]time.Time // since when a run has been seen to have no lease
}

// sign is the last sign of life of a worker.
type sign struct {
	written time.Time // by the store's clock
	since   time.Time // by ours
}

// NewCensus makes the census of a worker, whose name no other has.
func NewCensus(s store.Store, worker string, log *slog.Logger) *Census {
	return &Census{store: s, worker: worker, log: log, now: time.Now, seen: map[string]sign{}, without: map[Holder]time.Time{}}
}

// Beat says that this worker lives.
func (c *Census) Beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, putLimit, errors.New("no answer in time"))
	defer cancel()
	write := func() error {
		return c.store.Put(ctx, Workers, c.worker, bytes.NewReader(nil), 0, store.Properties{ContentType: "text/plain"})
	}
	err := write()
	if errors.Is(err, store.ErrNotFound) {
		if err = c.store.CreateContainer(ctx, Workers, false); err == nil {
			err = write()
		}
	}
	return err
}

// Over picks the holders whose runs are over. Whoever is not known in this store is left out, and so is a worker that gives signs of
// life: it sees to its own things. A silent one's run is over when no lease is held by it any more: another life has taken the request
// over, or it is settled; and what it had is of no use to anybody, since a life without its lease publishes nothing.
func (c *Census) Over(ctx context.Context, holders []Holder) (over []Holder, err error) {
	if err := c.look(ctx); err != nil {
		return nil, err
	}
	now := c.now()
	var silent []Holder
	for _, h := range holders {
		if seen, known := c.seen[h.Worker]; known && h.Worker != c.worker && now.Sub(seen.since) >= silence {
			silent = append(silent, h)
		}
	}
	if len(silent) == 0 {
		clear(c.without)
		return nil, nil
	}
	held, err := c.held(ctx)
	if err != nil {
		return nil, err
	}
	before := c.without
	c.without = map[Holder]time.Time{}
	for _, h := range silent {
		switch {
		case h.Run == "":
			if now.Sub(c.seen[h.Worker].since) >= canaryOver {
				over = append(over, h)
			}
			continue
		case held[h.Run]:
			continue
		}
		since, known := before[h]
		if !known {
			since = now
		}
		c.without[h] = since
		if now.Sub(since) >= confirmed {
			over = append(over, h)
		}
	}
	return over, nil
}

// look notes which workers have written since the look before.
func (c *Census) look(ctx context.Context) error {
	now := c.now()
	found := map[string]sign{}
	for entry, err := range store.Walk(ctx, c.store, Workers, "", "", "") {
		if errors.Is(err, store.ErrNotFound) {
			break
		}
		if err != nil {
			return err
		}
		seen, known := c.seen[entry.Name]
		if !known || !seen.written.Equal(entry.Modified) {
			seen = sign{entry.Modified, now}
		}
		if now.Sub(seen.since) >= forgotten {
			if err := c.store.Delete(ctx, Workers, entry.Name); err != nil {
				return err
			}
			c.log.Info("forgot a worker that has been silent for days", "worker", entry.Name)
			continue
		}
		found[entry.Name] = seen
	}
	c.seen = found
	return nil
}

// held are the handles of all lives that have a lease.
func (c *Census) held(ctx context.Context) (map[string]bool, error) {
	held := map[string]bool{}
	for entry, err := range store.Walk(ctx, c.store, Container, "", "", "") {
		if errors.Is(err, store.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		content, err := get(ctx, c.store, entry.Name)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !content.Ended {
			held[content.Handle] = true
		}
	}
	return held, nil
}
