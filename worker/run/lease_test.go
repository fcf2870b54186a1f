package run

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lease"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// The lease of a life: it beats, and what becomes of it depends on how the life ends.
func TestLeaseOfALife(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		script func(context.Context, testbed.Job) (testbed.Outcome, error)
		body   string
		lose   bool // the message, while the test runs
		stop   time.Duration
		away   bool // the store, for results
		left   int
		ended  bool
	}{
		"acknowledged":             {script: passes},
		"rejected":                 {script: passes, body: "not a package\n{}"},
		"given back":               {script: passes, stop: time.Minute},
		"stored, not acknowledged": {script: passes, lose: true, left: 1, ended: true},
		"in the spool":             {script: passes, stop: time.Hour, away: true, left: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, test.script)
				text := test.body
				if text == "" {
					text = body("green")
				}
				d, m := deliver(text)
				ctx := t.Context()
				if test.stop > 0 {
					ctx = stopAfter(t, test.stop)
				}
				if test.away {
					away(b, "put", 100*time.Hour)
				}
				l := b.newLife(d, b.state)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					l.live(ctx)
				}()
				if test.body == "" {
					time.Sleep(50 * time.Second)
					content, err := readLease(t, b.store, identify(d).String()+"/"+l.id)
					if err != nil || content.Beat != 3 || content.Worker != b.state.worker || content.Handle != l.id ||
						content.Queue != "debci-noble-amd64" || content.Package != "green" || content.Waiting || content.Ended {
						t.Errorf("the lease of a running test: %+v, %v", content, err)
					}
					if got := names(t, b.state.leases); len(got) != 1 || got[0] != l.id {
						t.Errorf("noted down: %v", got)
					}
				}
				if test.lose {
					m.lose()
				}
				<-ended
				left := b.left(t)
				if len(left) != test.left {
					t.Fatalf("leases left: %v, want %d", left, test.left)
				}
				if test.left > 0 {
					if content, err := readLease(t, b.store, left[0]); err != nil || content.Ended != test.ended {
						t.Errorf("left %+v, %v", content, err)
					}
				}
				records := names(t, b.state.leases)
				if kept := len(records) == 1; kept != test.away {
					t.Errorf("noted down in the end: %v", records)
				}
			})
		})
	}
}

// No result becomes readable without a lease: it would look as if its request were settled.
func TestNoResultWithoutALease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		back := time.Now().Add(20 * time.Minute)
		b.store.hookLeases(func(string, string) error {
			if time.Now().Before(back) {
				return store.ErrUnavailable
			}
			return nil
		})
		b.store.hook(func(call, object string) error {
			if call == "put" && time.Now().Before(back) {
				t.Errorf("%s is put before the lease", object)
			}
			return nil
		})
		d, m := deliver(body("green"))
		b.newLife(d, b.state).live(t.Context())
		if m.settled() != acked || len(b.stored(t, "green")) != 1 || len(b.left(t)) != 0 {
			t.Errorf("settled %v, results %v, leases %v", m.settled(), b.stored(t, "green"), b.left(t))
		}
	})
}

func TestWorkerKeepsItsName(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	var names []string
	for range 2 {
		s, err := openState(path)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, s.worker)
		s.close()
	}
	other, err := openState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	other.close()
	if names[0] != names[1] || names[0] == other.worker || !lease.Handle.MatchString(names[0]) {
		t.Errorf("names %q after a restart %q, another worker %q", names[0], names[1], other.worker)
	}
}
