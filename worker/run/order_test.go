package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lease"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// gatekeeper reads results as the real one does: it asks for run ids above the greatest one whose result it has read.
type gatekeeper struct {
	last result.RunID
	read map[string]int // life → how often its result was read
}

func (g *gatekeeper) look(t *testing.T, s store.Store) {
	t.Helper()
	ids, err := runs(t.Context(), s, "autopkgtest-noble", "noble", "amd64", "green", string(g.last))
	if errors.Is(err, store.ErrNotFound) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		at := result.Location{Container: "autopkgtest-noble", Release: "noble", Architecture: "amd64", Package: "green", RunID: id}
		stored, err := fetch(t.Context(), s, at)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		g.last = id
		g.read[stored.Handle]++
	}
}

// watched is a store that orders the moments in which results become readable, and lets a gatekeeper look after each.
type watched struct {
	store.Store
	t     *testing.T
	mu    *sync.Mutex
	gate  *gatekeeper
	delay func(object string) time.Duration // before an object is readable, after its upload began
}

func (w watched) Put(ctx context.Context, container, object string, body io.ReadSeeker, size int64, p store.Properties) error {
	if container == lease.Container {
		return w.Store.Put(ctx, container, object, body, size, p)
	}
	if w.delay != nil {
		time.Sleep(w.delay(path.Base(object)))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.Store.Put(ctx, container, object, body, size, p)
	w.gate.look(w.t, w.Store)
	return err
}

// Two workers end tests of one package at once, also in the same second and in reverse order, with uploads of any length:
// the gatekeeper, which looks at every moment, reads every result, and in the end there is one of each.
func TestRunIDsGrowInVisibleOrder(t *testing.T) {
	t.Parallel()
	lengths := []time.Duration{0, 300 * time.Millisecond, 1300 * time.Millisecond, 5 * time.Second}
	for _, first := range lengths {
		for _, second := range lengths {
			t.Run(fmt.Sprintf("%s and %s", first, second), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { passing(t, [2]time.Duration{first, second}) })
			})
		}
	}
}

func passing(t *testing.T, lengths [2]time.Duration) {
	one := newBench(t, quick)
	two := one.beside(t, quick)
	if err := one.store.CreateContainer(t.Context(), "autopkgtest-noble", true); err != nil {
		t.Fatal(err)
	}
	gate := &gatekeeper{read: map[string]int{}}
	lock := new(sync.Mutex)
	var lives sync.WaitGroup
	var messages []*fakeMessage
	for i, b := range []*bench{one, two} {
		b.Worker.store = watched{one.store.Store, t, lock, gate, func(object string) time.Duration {
			if object == result.TarObject {
				return lengths[i]
			}
			return 0
		}}
		for n := range 3 {
			d, m := deliver(fmt.Sprintf("green\n{\"triggers\": [\"blue/%d\"], \"requester\": \"worker%d\"}", n, i))
			messages = append(messages, m)
			l := b.newLife(d, b.state)
			lives.Go(func() {
				time.Sleep(time.Duration(n*400) * time.Millisecond)
				l.live(t.Context())
			})
		}
	}
	lives.Wait()
	if count(messages, acked) != 6 {
		t.Errorf("%d acknowledged, want 6", count(messages, acked))
	}
	ids := one.stored(t, "green")
	if len(ids) != 6 {
		t.Errorf("results %v, want 6", ids)
	}
	if len(gate.read) != 6 {
		t.Errorf("the gatekeeper has read %d results, want 6: %v; in the store: %v", len(gate.read), gate.read, ids)
	}
	// The last message for a result names the run id that stays.
	last := map[result.RunID]bool{}
	for _, b := range []*bench{one, two} {
		for _, c := range b.session.completions(t) {
			last[c.Location.RunID] = true
		}
	}
	for _, id := range ids {
		if !last[id] {
			t.Errorf("%s was not announced: %v", id, last)
		}
	}
	if len(last) != 6 {
		t.Errorf("announced: %v, want the 6 that stay", last)
	}
	// Nothing is left of what was moved.
	all, err := runs(t.Context(), one.store.Store, "autopkgtest-noble", "noble", "amd64", "green", "")
	if err != nil || len(all) != 6 {
		t.Errorf("run folders %v, %v", all, err)
	}
}

func quick(_ context.Context, job testbed.Job) (testbed.Outcome, error) {
	output(job.OutputDir, map[string]string{"log": "x"})
	return testbed.Outcome{}, nil
}

// A result that became visible below another one is moved: readable above first, then gone below, result.tar before its log.
func TestMovedAbove(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fails string // the call that fails once
	}{
		"at once":                           {},
		"the look fails":                    {"list"},
		"the second upload fails":           {"put"},
		"the removal fails":                 {"delete"},
		"the removal fails with a shutdown": {"restart"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				told := new(notebook)
				b := newBench(t, quick, func(s *Settings) { s.Observer = told })
				var theirs result.RunID
				var calls []string
				failing := true
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				b.store.hook(func(call, object string) error {
					if call == "put" && path.Base(object) == result.TarObject && theirs == "" {
						// While ours is on its way, somebody else's becomes readable above it.
						theirs = b.foreign(t, time.Now().Add(time.Minute), "green\n{}")
						calls = append(calls, "put below")
						return nil
					}
					if theirs == "" {
						return nil
					}
					if failing && (call == test.fails || call == "delete" && test.fails == "restart") {
						failing = false
						if test.fails == "restart" {
							stop()
							failing = true
						}
						return store.ErrUnavailable
					}
					if call == "put" || call == "delete" {
						calls = append(calls, call+" "+path.Base(object))
					}
					return nil
				})
				d, m := deliver(body("green"))
				b.newLife(d, b.state).live(ctx)
				b.leases.Wait()
				session := b.session
				if test.fails == "restart" {
					if got := b.stored(t, "green"); len(got) != 3 || m.settled() != requeued {
						t.Fatalf("results %v, settled %v; want ours twice", got, m.settled())
					}
					failing = false
					next := b.restarted(t, quick)
					ended := next.dispatching(t.Context())
					var again Delivery
					again, m = redeliver(body("green"))
					next.incoming <- again
					time.Sleep(10 * time.Minute)
					next.Drain()
					<-ended
					next.leases.Wait()
					session = next.session
				}
				ids := b.stored(t, "green")
				if len(ids) != 2 || ids[0] != theirs || m.settled() != acked {
					t.Fatalf("results %v, want %s and ours above it; settled %v", ids, theirs, m.settled())
				}
				ascending(t, ids)
				if moved := told.all()["moved"]; moved != 1 {
					t.Errorf("an observer was told of %d moves, want one", moved)
				}
				completions := session.completions(t)
				if len(completions) != 1 || completions[0].Location.RunID != ids[1] {
					t.Errorf("announced %+v, want %s alone", completions, ids[1])
				}
				want := "put below, put log.gz, put result.tar, delete result.tar, delete log.gz"
				if got := strings.Join(calls, ", "); !strings.HasPrefix(got, want[:len("put below, put log.gz, put result.tar")]) ||
					!strings.HasSuffix(got, "delete result.tar, delete log.gz") {
					t.Errorf("calls: %s, want %s", got, want)
				}
				all, err := runs(t.Context(), b.store.Store, "autopkgtest-noble", "noble", "amd64", "green", "")
				if err != nil || len(all) != 2 {
					t.Errorf("run folders %v, %v, want two", all, err)
				}
			})
		})
	}
}

// A run id of tomorrow: nothing goes above it, and people are told. When it is removed, work goes on.
func TestRunIDFarAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, quick)
		theirs := b.foreign(t, time.Now().Add(30*time.Hour), "green\n{}")
		ended := b.dispatching(t.Context())
		d, m := deliver(body("green"))
		b.incoming <- d
		other, done := deliver(body("blue"))
		b.incoming <- other
		time.Sleep(20 * time.Minute)
		if got := b.stored(t, "green"); len(got) != 1 || m.settled() != unsettled || b.spooled() != 1 || done.settled() != acked {
			t.Errorf("results %v, settled %v, %d spooled; another package's request %v", got, m.settled(), b.spooled(), done.settled())
		}
		at := "noble/amd64/g/green/" + string(theirs)
		findings, _ := Examine(t.Context(), b.Checks())
		for _, f := range findings {
			if f.ID == "run-ids" && (f.OK || !strings.Contains(f.Reason, at) || !strings.Contains(f.Reason, "remove the objects")) {
				t.Errorf("health: %+v", f)
			}
		}
		if got := b.Ahead(); len(got) != 1 {
			t.Errorf("ahead: %v", got)
		}
		if !strings.Contains(b.logged.String(), "level=ERROR") || !strings.Contains(b.logged.String(), at) {
			t.Errorf("the log does not tell:\n%s", b.logged)
		}
		if err := b.store.Store.Delete(t.Context(), "autopkgtest-noble", at+"/"+result.TarObject); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		if got := b.stored(t, "green"); len(got) != 1 || m.settled() != acked || len(b.Ahead()) != 0 {
			t.Errorf("after its removal: results %v, settled %v, ahead %v", got, m.settled(), b.Ahead())
		}
		b.Drain()
		<-ended
	})
}
