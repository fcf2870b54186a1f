package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// notebook is an Observer that writes down what it is told.
type notebook struct {
	mu   sync.Mutex
	told map[string]int
}

func (y *notebook) note(what string, times int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.told == nil {
		y.told = map[string]int{}
	}
	y.told[what] += times
}

func (y *notebook) all() map[string]int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return maps.Clone(y.told)
}

func (y *notebook) Taken(q request.Queue)             { y.note("taken from "+q.Name(), 1) }
func (y *notebook) Ended(_ request.Queue, how Ending) { y.note(string(how), 1) }
func (y *notebook) Retried(request.Queue)             { y.note("retried", 1) }
func (y *notebook) Moved(_ request.Queue, times int)  { y.note("moved", times) }
func (y *notebook) Failed(at State)                   { y.note("failed in "+string(at), 1) }
func (y *notebook) Unheard()                          { y.note("unheard", 1) }
func (y *notebook) Announced(_ request.Queue, after time.Duration) {
	y.note(fmt.Sprintf("announced within %s", after.Truncate(time.Hour)+time.Hour), 1)
}

func TestObserver(t *testing.T) {
	t.Parallel()
	taken := func(others map[string]int) map[string]int {
		others["taken from debci-noble-amd64"]++
		return others
	}
	for name, test := range map[string]struct {
		script func(context.Context, testbed.Job) (testbed.Outcome, error) // nil: passes
		body   string                                                      // empty for an ordinary one
		again  bool
		stop   time.Duration // when the worker must stop; 0 for a drain in the end
		with   func(t *testing.T, b *bench)
		want   map[string]int
	}{
		"passes":         {want: taken(map[string]int{"pass": 1, "announced within 1h0m0s": 1})},
		"fails":          {script: ends(4), want: taken(map[string]int{"fail": 1, "announced within 1h0m0s": 1})},
		"testbed fails":  {script: ends(16), want: taken(map[string]int{"tmpfail": 1, "retried": 2, "announced within 1h0m0s": 1})},
		"not to be run":  {body: "declined", want: taken(map[string]int{"denylisted": 1, "announced within 1h0m0s": 1})},
		"malformed":      {body: "green\n{", want: taken(map[string]int{"rejected": 1})},
		"killed":         {stop: time.Minute, want: taken(map[string]int{"returned": 1})},
		"cannot be run":  {script: broken, want: taken(map[string]int{"returned": 1, "failed in run": maxBroken})},
		"done elsewhere": {again: true, with: func(t *testing.T, b *bench) { b.foreign(t, time.Now(), body("green")) }, want: taken(map[string]int{"found": 1})},
		"store away, stopped": {stop: 4 * time.Minute, with: func(_ *testing.T, b *bench) { away(b, "put", time.Hour) },
			want: taken(map[string]int{"shelved": 1, "failed in store": 6})},
		"store away for 90 minutes": {with: func(_ *testing.T, b *bench) { away(b, "put", 90*time.Minute) },
			want: taken(map[string]int{"pass": 1, "failed in store": 30, "announced within 2h0m0s": 1})},
		"broker takes nothing": {stop: 4 * time.Minute, with: func(_ *testing.T, b *bench) { b.session.fail(errors.New("refused")) },
			want: taken(map[string]int{"shelved": 1, "failed in announce": 6, "unheard": 20})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				told := new(notebook)
				script := test.script
				if script == nil {
					script = passes
				}
				b := newBench(t, script, func(s *Settings) {
					s.Observer, s.Policy, s.DrainTimeout = told, refusals{"declined": {"why", "unknown"}}, 24*time.Hour
				})
				text := test.body
				if text == "" {
					text = body("green")
				}
				if test.with != nil {
					test.with(t, b)
				}
				ctx := t.Context()
				if test.stop > 0 {
					ctx = stopAfter(t, test.stop)
				} else {
					time.AfterFunc(time.Minute, b.Drain)
				}
				ended := b.dispatching(ctx)
				d, _ := deliver(text)
				d.Redelivered = test.again
				b.incoming <- d
				<-ended
				got := told.all()
				for what := range got { // pauses are random: how often is only known roughly
					if n, want := got[what], test.want[what]; want > 4 && n > want/2 && n < 2*want {
						got[what] = want
					}
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestLook: one test runs, one result waits for the store, which is away, and one request waits for a testbed.
func TestLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		jammy := request.Queue{Context: "huge", Release: "jammy", Architecture: "amd64"}
		b := newBench(t, func(ctx context.Context, job testbed.Job) (testbed.Outcome, error) {
			if job.Request.Package == "long" {
				sleep(ctx, time.Hour)
			}
			return passes(ctx, job)
		}, func(s *Settings) { s.Slots, s.Queues, s.DrainTimeout = 4, []request.Queue{noble, jammy}, 24*time.Hour })
		away(b, "put", 2*time.Hour)
		ended := b.dispatching(t.Context())
		for _, text := range []string{body("green"), body("long")} {
			d, _ := deliver(text)
			b.incoming <- d
		}
		d, _ := deliver(body("blue"))
		d.Queue = jammy
		b.incoming <- d
		if err := b.rejects.save("one", queue.Rejected{Body: []byte("one"), Reason: "no"}); err != nil {
			t.Fatal(err)
		}
		b.order.ahead["a life"] = errAhead
		began := time.Now()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		got := b.Look()
		for q, err := range got.NotReady {
			if err == nil {
				t.Errorf("%s is not ready for no reason", q.Name())
			}
			got.NotReady[q] = nil
		}
		bytes := got.Spool.Bytes
		want := View{
			Slots: 4, Busy: 2, States: map[State]int{Run: 1, Prepare: 1, Store: 1}, Tests: map[request.Queue]int{noble: 1},
			Queues: []request.Queue{noble, jammy}, NotReady: map[request.Queue]error{jammy: nil}, Waiting: 2, Connected: true,
			Spool:  SpoolView{Results: 1, Limit: 16, Bytes: bytes, Oldest: began.Add(3 * time.Minute)},
			Leases: LeaseView{Alive: 3}, Rejected: 1, Ahead: 1,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("in hand (-want +got):\n%s", diff)
		}
		var onDisk int64
		for _, name := range names(t, b.spool.folder) {
			for _, file := range names(t, b.spool.path(name)) {
				if info, err := os.Stat(filepath.Join(b.spool.path(name), file)); err == nil && file != entryFile && file != runIDFile {
					onDisk += info.Size()
				}
			}
		}
		if bytes <= 0 || bytes != onDisk {
			t.Errorf("%d bytes in the spool, %d on the disk", bytes, onDisk)
		}
		b.store.hookLeases(func(string, string) error { return errors.New("away") })
		time.Sleep(2 * time.Minute)
		if got := b.Look().Leases; got != (LeaseView{Late: 3}) {
			t.Errorf("leases that cannot be written: %+v, want three late ones", got)
		}
		b.store.hookLeases(nil)
		b.Drain()
		if err := os.WriteFile(b.image(jammy), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if !b.Look().Drains {
			t.Error("a drain is not seen")
		}
		<-ended
		left := b.Look()
		if left.Busy != 0 || len(left.States) != 0 || left.Spool.Results != 0 || left.Spool.Bytes != 0 {
			t.Errorf("left in the end: %+v", left)
		}
	})
}
