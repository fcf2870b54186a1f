package run

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

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
					content, err := getLease(t.Context(), b.store, identify(d).hex()+"/"+l.id)
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
				left := b.leases(t)
				if len(left) != test.left {
					t.Fatalf("leases left: %v, want %d", left, test.left)
				}
				if test.left > 0 {
					if content, err := getLease(t.Context(), b.store, left[0]); err != nil || content.Ended != test.ended {
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
		if m.settled() != acked || len(b.stored(t, "green")) != 1 || len(b.leases(t)) != 0 {
			t.Errorf("settled %v, results %v, leases %v", m.settled(), b.stored(t, "green"), b.leases(t))
		}
	})
}

// What a worker that was killed has left in the store is put right by its next start, and nothing else is touched.
func TestLeasesOfADeadWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		d, _ := deliver(body("green"))
		l := b.newLife(d, b.state)
		dead, adopted, theirs, old := b.other(t, l), b.other(t, l), b.other(t, l), b.other(t, l)
		idle := b.other(t, l) // has only waited: nobody will ask for it
		dead.content.Worker, idle.content.Worker, idle.content.Waiting = b.state.worker, b.state.worker, true
		for _, o := range []*other{dead, adopted, theirs, old, idle} {
			o.begin(t)
		}
		ago := time.Now().Add(-leaseAge - time.Hour)
		if err := os.Chtimes(filepath.Join(b.settings.StateDirectory, "..", "store", leaseContainer, old.object), ago, ago); err != nil {
			t.Fatal(err)
		}
		for _, o := range []*other{dead, adopted, idle} {
			output(b.state.leases, map[string]string{o.content.Handle: o.object + "\n"})
		}
		output(b.state.leases, map[string]string{"damaged": "../../x\n", "empty": ""})
		waiting := b.spool.path("waiting")
		output(waiting, map[string]string{entryFile: "{}"})
		output(b.state.leases, map[string]string{"waiting": "x/waiting"})

		handles := b.deadLeases(b.state)
		if len(handles) != 5 {
			t.Errorf("dead: %v, want all but the one whose result waits in the spool", handles)
		}
		b.endLeases(t.Context(), b.state, handles)
		for name, test := range map[string]struct {
			o     *other
			ended bool
		}{"our own": {dead, true}, "taken over by another worker": {adopted, false}, "another worker's": {theirs, false}} {
			if content, err := getLease(t.Context(), b.store, test.o.object); err != nil || content.Ended != test.ended {
				t.Errorf("%s: %+v, %v", name, content, err)
			}
		}
		if got := b.leases(t); len(got) != 3 {
			t.Errorf("leases left: %v, want three", got)
		}
		if got := names(t, b.state.leases); len(got) != 1 || got[0] != "waiting" {
			t.Errorf("noted down in the end: %v", got)
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
	if names[0] != names[1] || names[0] == other.worker || !handlePattern.MatchString(names[0]) {
		t.Errorf("names %q after a restart %q, another worker %q", names[0], names[1], other.worker)
	}
}
