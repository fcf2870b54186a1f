package management

import (
	"context"
	"fmt"
	"sync/atomic"
)

// syncs are the calls of Client.Sync.
type syncs struct {
	write func(context.Context) error // nil for a broker that somebody else runs
	begun atomic.Int64
	turn  chan struct{} // holds one
	done  int64         // the last one that succeeded, counted as begun is; belongs to whose turn it is
}

// SyncWith says how the broker is made to write what it knows to disk. It is called before the first Sync.
func (m *Client) SyncWith(write func(context.Context) error) { m.syncs.write = write }

// Sync makes the broker keep, even if it is killed, what was written before the call . It takes
// half a second, so calls that come while another one is at work share the next one. The API itself has no such thing: of
// a broker that somebody else runs, for which SyncWith was not called, nothing is asked.
func (m *Client) Sync(ctx context.Context) error {
	s := &m.syncs
	if s.write == nil {
		return nil
	}
	before := s.begun.Load()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return fmt.Errorf("wait for the broker to write its users and queues to disk: %w", context.Cause(ctx))
	}
	if s.done > before {
		return nil
	}
	number := s.begun.Add(1)
	if err := s.write(ctx); err != nil {
		return err
	}
	s.done = number
	return nil
}
