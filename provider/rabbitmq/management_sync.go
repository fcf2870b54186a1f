package rabbitmq

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// syncs are the calls of Management.Sync.
type syncs struct {
	write func(context.Context) error // nil for a broker that somebody else runs
	begun atomic.Int64
	turn  chan struct{} // holds one
	done  int64         // the last one that succeeded, counted as begun is; belongs to whose turn it is
}

// RunsIn says that the broker is the node in a stack's folder. It is called before the first Sync.
func (m *Management) RunsIn(d *host.Directory) {
	m.syncs.write = func(ctx context.Context) error { return Sync(ctx, d) }
}

// Sync makes the broker keep, even if it is killed, what was written before the call (see the function [Sync]). It takes
// half a second, so calls that come while another one is at work share the next one. The API itself has no such thing: of
// a broker that somebody else runs, which is not one of RunsIn, nothing is asked.
func (m *Management) Sync(ctx context.Context) error {
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
