package site

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// ErrNoBroker says that the broker cannot be asked at the moment.
var ErrNoBroker = errors.New("not connected to the message broker")

// Depth is how many requests wait in a queue, and how many consumers it has.
type Depth struct {
	Queue     request.Queue
	Ready     int
	Consumers int
}

// CachedDepths asks for the depth of all queues when somebody wants to know, but not more often than every few seconds,
// and never twice at the same time.
type CachedDepths struct {
	ask func(context.Context) ([]Depth, error)
	now func() time.Time

	turn  chan struct{} // held while asking
	mu    sync.Mutex
	taken time.Time
	last  []Depth
	err   error
}

// depthAge is how old an answer may be.
const depthAge = 3 * time.Second

// depthTime bounds the asking: a page waits for it.
const depthTime = 5 * time.Second

// NewCachedDepths returns a cache over ask, which lists all queues that exist, or answers ErrNoBroker.
func NewCachedDepths(ask func(context.Context) ([]Depth, error), now func() time.Time) *CachedDepths {
	return &CachedDepths{ask: ask, now: now, turn: make(chan struct{}, 1)}
}

// Depths implements the site's interface.
func (c *CachedDepths) Depths(ctx context.Context) ([]Depth, error) {
	if depths, err, ok := c.cached(); ok {
		return depths, err
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if depths, err, ok := c.cached(); ok { // somebody else asked meanwhile
		return depths, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err // nobody waits for this answer
	}
	// The asker may leave; the answer is for the others too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), depthTime)
	defer cancel()
	depths, err := c.ask(ctx)
	slices.SortFunc(depths, func(a, b Depth) int {
		return cmp.Or(cmp.Compare(a.Queue.Release, b.Queue.Release), cmp.Compare(a.Queue.Architecture, b.Queue.Architecture),
			cmp.Compare(slices.Index(request.Contexts, a.Queue.Context), slices.Index(request.Contexts, b.Queue.Context)))
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken, c.last, c.err = c.now(), depths, err
	return depths, err
}

func (c *CachedDepths) cached() ([]Depth, error, bool) { //nolint:revive // the error is part of what is cached
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, c.err, !c.taken.IsZero() && c.now().Sub(c.taken) < depthAge
}
