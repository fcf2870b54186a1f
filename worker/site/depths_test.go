package site

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

func TestDepthsAreAskedForOnce(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	asked := 0 // guarded by the cache itself: that is what is tested
	release := make(chan struct{})
	cache := NewCachedDepths(func(context.Context) ([]Depth, error) {
		<-release
		asked++
		return []Depth{depth(request.PPA, "noble", "amd64", 1, 0), depth(request.Normal, "noble", "amd64", 2, 0)}, nil
	}, func() time.Time { return time.Unix(1000+clock.Load(), 0) })
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			depths, err := cache.Depths(t.Context())
			if err != nil || len(depths) != 2 || depths[0].Queue.Context != request.Normal {
				t.Errorf("%v, %v", depths, err)
			}
		})
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := cache.Depths(gone); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(release)
	all.Wait()
	if asked != 1 {
		t.Errorf("asked %d times at once", asked)
	}
	clock.Add(int64(depthAge/time.Second) + 1)
	if _, err := cache.Depths(t.Context()); err != nil || asked != 2 {
		t.Errorf("asked %d times after a while, %v", asked, err)
	}
}

func TestDepthsKeepAnError(t *testing.T) {
	t.Parallel()
	asked := 0
	cache := NewCachedDepths(func(context.Context) ([]Depth, error) {
		asked++
		return nil, ErrNoBroker
	}, func() time.Time { return now })
	for range 3 {
		if _, err := cache.Depths(t.Context()); !errors.Is(err, ErrNoBroker) {
			t.Error(err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}
