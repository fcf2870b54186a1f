package openstack

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// TestListing: ten who ask at once make one list, a failure is not remembered, and a drop makes another list.
func TestListing(t *testing.T) {
	t.Parallel()
	var (
		l     listing[string]
		lists int
	)
	broken := errors.New("broken")
	if _, err := l.all(t.Context(), func(context.Context) ([]string, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	list := func(context.Context) ([]string, error) {
		lists++
		return nil, nil // an empty list is known, too
	}
	ask := func() {
		var together sync.WaitGroup
		for range 10 {
			together.Go(func() {
				if _, err := l.all(t.Context(), list); err != nil {
					t.Error(err)
				}
			})
		}
		together.Wait()
	}
	ask()
	if lists != 1 {
		t.Errorf("%d lists", lists)
	}
	l.drop()
	ask()
	if lists != 2 {
		t.Errorf("%d lists after a drop", lists)
	}
}
