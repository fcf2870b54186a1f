package lease

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// TestCensus has a worker look at others: a and b beat, and then b is silent; nobody knows c.
func TestCensus(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		of    Holder
		lease *Content // of the run; nil for none
		after time.Duration
		over  bool
	}{
		"one that lives":             {Holder{"a", "run"}, nil, 70 * time.Minute, false},
		"our own":                    {Holder{"own", "run"}, nil, 70 * time.Minute, false},
		"of another store":           {Holder{"c", "run"}, nil, 70 * time.Minute, false},
		"silent for a while":         {Holder{"b", "run"}, nil, 4 * time.Minute, false},
		"silent, seen once":          {Holder{"b", "run"}, nil, 6 * time.Minute, false},
		"silent, without a lease":    {Holder{"b", "run"}, nil, 10 * time.Minute, true},
		"silent, nobody took over":   {Holder{"b", "run"}, &Content{Worker: "b", Handle: "run"}, 70 * time.Minute, false},
		"silent, waiting":            {Holder{"b", "run"}, &Content{Worker: "b", Handle: "run", Waiting: true}, 70 * time.Minute, false},
		"silent, its life is over":   {Holder{"b", "run"}, &Content{Worker: "b", Handle: "run", Ended: true}, 10 * time.Minute, true},
		"silent, taken over":         {Holder{"b", "run"}, &Content{Worker: "a", Handle: "next", Lives: []string{"run"}}, 10 * time.Minute, true},
		"a canary of one who lives":  {Holder{"a", ""}, nil, 70 * time.Minute, false},
		"a canary, silent":           {Holder{"b", ""}, nil, 10 * time.Minute, false},
		"a canary, silent for hours": {Holder{"b", ""}, nil, 70 * time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t)
				census := func(worker string) *Census { return NewCensus(d, worker, d.registry(t, worker).log) }
				if test.lease != nil {
					if err := put(t.Context(), d, requested.folder()+"x", *test.lease); err != nil {
						t.Fatal(err)
					}
				}
				beat := func(c *Census) {
					if err := c.Beat(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				own, a, b := census("own"), census("a"), census("b")
				beat(b)
				var over []Holder
				for passed := time.Duration(0); passed <= test.after; passed += time.Minute {
					beat(own)
					beat(a)
					var err error
					if over, err = own.Over(t.Context(), []Holder{test.of}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Minute)
				}
				if got := slices.Contains(over, test.of); got != test.over {
					t.Errorf("over: %v, want %v", got, test.over)
				}
			})
		})
	}
}

// TestCensusKnowsNothing: without the store nobody's run is over, and what was seen before still counts afterwards.
func TestCensusKnowsNothing(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	d := newDesk(t)
	own, b := NewCensus(awayStore{d}, "own", d.registry(t, "own").log), NewCensus(d, "b", nil)
	own.now = func() time.Time { return now }
	if err := b.Beat(t.Context()); err != nil {
		t.Fatal(err)
	}
	of := []Holder{{"b", "run"}}
	for _, away := range []bool{false, true, false, false} {
		d.leave(away)
		over, err := own.Over(t.Context(), of)
		if (err != nil) != away || len(over) > 0 && now.Before(time.Unix(1000, 0).Add(silence+confirmed)) {
			t.Errorf("away %v: %v, %v", away, over, err)
		}
		now = now.Add(silence)
	}
	if over, err := own.Over(t.Context(), of); err != nil || len(over) != 1 {
		t.Errorf("%v, %v", over, err)
	}
}

// awayStore lists nothing while its desk is away.
type awayStore struct{ *desk }

func (s awayStore) List(ctx context.Context, container string, q store.Query) ([]store.Entry, error) {
	s.mu.Lock()
	away := s.away
	s.mu.Unlock()
	if away {
		return nil, errors.New("the store is away")
	}
	return s.Store.List(ctx, container, q)
}
