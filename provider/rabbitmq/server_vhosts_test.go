package rabbitmq

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fakeVHosts is a node whose virtual hosts are down. Its clock is the test's.
type fakeVHosts struct {
	begin   time.Time
	down    map[string]time.Duration // how long by itself; less than nothing is for ever
	refuses error                    // what a start says
	silent  error                    // what a look says
	started []string
}

func (f *fakeVHosts) StoppedVHosts(_ context.Context, node string) (stopped []string, err error) {
	for name, long := range f.down {
		if long < 0 || time.Since(f.begin) < long {
			stopped = append(stopped, name)
		}
	}
	slices.Sort(stopped)
	return stopped, f.silent
}

func (f *fakeVHosts) StartVHost(_ context.Context, name, node string) error {
	f.started = append(f.started, name+" on "+node)
	if f.refuses == nil {
		delete(f.down, name)
	}
	return f.refuses
}

// TestVHostStarter looks at a node for five seconds, ten times a second.
func TestVHostStarter(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		node    fakeVHosts
		started string
		says    []string // the end; none if all runs
	}{
		"all run":         {fakeVHosts{}, "", nil},
		"comes by itself": {fakeVHosts{down: map[string]time.Duration{"/": time.Second}}, "", nil},
		"stays down":      {fakeVHosts{down: map[string]time.Duration{"/": -1}}, "/ on n", nil},
		"two stay down":   {fakeVHosts{down: map[string]time.Duration{"/": -1, "b": -1}}, "/ on n, b on n", nil},
		"nobody says it":  {fakeVHosts{silent: errors.New("no answer")}, "", []string{"no answer"}},
		"cannot be begun": {
			fakeVHosts{down: map[string]time.Duration{"/": -1}, refuses: errors.New("eacces")}, "/ on n, / on n",
			[]string{"virtual host / does not run on n", "cannot be started: eacces"},
		},
		"neither of these": {
			fakeVHosts{down: map[string]time.Duration{"/": -1, "b": -1}, refuses: errors.New("eacces")},
			"/ on n, b on n, / on n, b on n", []string{"virtual hosts /, b do not run on n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := tc.node
				f.begin = time.Now()
				s := &vhostStarter{m: &f, node: "n", last: map[string]error{}}
				var err error
				for range 50 {
					if err = s.check(t.Context()); err == nil {
						break
					}
					time.Sleep(100 * time.Millisecond)
				}
				if got := strings.Join(f.started, ", "); got != tc.started {
					t.Errorf("started %q, want %q", got, tc.started)
				}
				if (err == nil) != (tc.says == nil) {
					t.Errorf("in the end: %v", err)
				}
				for _, part := range tc.says {
					if err != nil && !strings.Contains(err.Error(), part) {
						t.Errorf("%q does not say %q", err, part)
					}
				}
			})
		})
	}
}

// TestVHostThatEndsAgain: each time it is down counts anew.
func TestVHostThatEndsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeVHosts{begin: time.Now()}
		s := &vhostStarter{m: f, node: "n", last: map[string]error{}}
		for range 3 {
			f.down = map[string]time.Duration{"/": -1}
			if err := s.check(t.Context()); err == nil {
				t.Error("one that is down runs")
			}
			f.down = nil
			if err := s.check(t.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(vhostPatience)
		}
		if len(f.started) > 0 {
			t.Errorf("started %v, which came by itself", f.started)
		}
	})
}
