package run

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// many delivers requests for as many packages.
func (b *bench) many(count int) []*fakeMessage {
	var messages []*fakeMessage
	for i := range count {
		d, m := deliver(body(fmt.Sprintf("green%d", i)))
		messages = append(messages, m)
		b.incoming <- d
	}
	return messages
}

func count(messages []*fakeMessage, settled [2]int) int {
	n := 0
	for _, m := range messages {
		if m.settled() == settled {
			n++
		}
	}
	return n
}

// The store is away for long: tests go on, one after the other in the only slot, and nothing is acknowledged.
func TestSlotsGoOnWithoutAStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes, func(s *Settings) { s.Slots = 1 })
		away(b, "put", 30*time.Minute)
		ended := b.dispatching(t.Context())
		messages := b.many(5)
		time.Sleep(20 * time.Minute)
		if b.testbeds.count() != 5 || b.testbeds.peak() != 1 || b.spooled() != 5 || count(messages, unsettled) != 5 {
			t.Errorf("after twenty minutes: %d tests begun, %d at a time, %d results spooled, %d requests unsettled; want 5, 1, 5, 5",
				b.testbeds.count(), b.testbeds.peak(), b.spooled(), count(messages, unsettled))
		}
		if runs := names(t, b.state.runs); len(runs) != 0 {
			t.Errorf("the folders of runs that have ended take space: %v", runs)
		}
		if statuses := b.session.statuses(t); statuses[len(statuses)-1].Running {
			t.Errorf("a test that has ended is said to run: %+v", statuses[len(statuses)-1])
		}
		findings, _ := Examine(t.Context(), b.Checks())
		for _, f := range findings {
			if f.ID == "spool" && (!f.OK || !strings.HasPrefix(f.Told, "5 of 16 results, the oldest since 2000-01-01T00:0")) {
				t.Errorf("health: %+v", f)
			}
		}
		time.Sleep(30 * time.Minute)
		b.Drain()
		<-ended
		if count(messages, acked) != 5 || b.spooled() != 0 || len(b.folders(t)) != 0 {
			t.Errorf("the store is back: %d acknowledged, %d spooled, left %v", count(messages, acked), b.spooled(), b.folders(t))
		}
	})
}

func TestFullSpoolTakesNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes, func(s *Settings) { s.Slots, s.SpoolLimit = 1, 3 })
		away(b, "put", 30*time.Minute)
		ended := b.dispatching(t.Context())
		messages := b.many(5)
		time.Sleep(20 * time.Minute)
		if b.testbeds.count() != 3 || b.spooled() != 3 {
			t.Errorf("%d tests begun, %d results spooled, want 3, 3", b.testbeds.count(), b.spooled())
		}
		findings, ok := Examine(t.Context(), b.Checks())
		for _, f := range findings {
			if f.ID == "spool" && (ok || f.OK || !strings.Contains(f.Reason, "3 results wait") || !strings.Contains(f.Reason, "spool_limit")) {
				t.Errorf("health: %+v", f)
			}
		}
		time.Sleep(30 * time.Minute)
		b.Drain()
		<-ended
		if count(messages, acked) != 5 {
			t.Errorf("%d acknowledged, want 5", count(messages, acked))
		}
	})
}

// A worker stops, in order or not, with results in its spool, and the next one goes on with them.
func TestRestartWithASpool(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		redelivered time.Duration // after the restart
		back        time.Duration // the store, after the restart
	}{
		"requests come again before the store is back": {time.Minute, 20 * time.Minute},
		"the store is back first":                      {20 * time.Minute, time.Minute},
		"at the same time":                             {time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, passes)
				away(b, "put", 20*time.Minute+test.back)
				ctx, stop := context.WithCancel(t.Context())
				ended := b.dispatching(ctx)
				messages := b.many(3)
				time.Sleep(20 * time.Minute)
				stop()
				<-ended
				if count(messages, requeued) != 3 || b.spooled() != 3 {
					t.Fatalf("%d given back, %d spooled; want 3, 3", count(messages, requeued), b.spooled())
				}
				// What crashes leave: a result that was not finished, and one that the disk has damaged.
				output(b.spool.folder, map[string]string{"20000101-000000-dead.new/log.gz": "x"})
				damaged := filepath.Join(b.spool.folder, "20000101-000001-bad")
				if err := os.CopyFS(damaged, os.DirFS(filepath.Join(b.spool.folder, names(t, b.spool.folder)[2]))); err != nil {
					t.Fatal(err)
				}
				output(damaged, map[string]string{result.TarObject: "x"})

				next := b.restarted(t, passes)
				ended = next.dispatching(t.Context())
				synctest.Wait()
				if next.spooled() != 3 || len(names(t, next.spool.folder)) != 3 {
					t.Errorf("the next worker has %d results, in its folder %v; want 3", next.spooled(), names(t, next.spool.folder))
				}
				time.Sleep(test.redelivered)
				var again []*fakeMessage
				for i := range 3 {
					d, m := redeliver(body(fmt.Sprintf("green%d", i)))
					again = append(again, m)
					next.incoming <- d
				}
				time.Sleep(time.Hour)
				next.Drain()
				<-ended
				if count(again, acked) != 3 || next.testbeds.count() != 0 {
					t.Errorf("%d acknowledged, %d tests run again; want 3, 0", count(again, acked), next.testbeds.count())
				}
				for i := range 3 {
					if got := next.stored(t, fmt.Sprintf("green%d", i)); len(got) != 1 {
						t.Errorf("results of green%d: %v, want one", i, got)
					}
				}
				if left := next.folders(t); len(left) != 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		})
	}
}

func TestSpoolEntryComesBackAsItWas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		d, _ := deliver("green\n" + `{"triggers": ["green/1"], "swiftuser": "sam", "readable-by": "joe"}`)
		l := b.newLife(d, b.state)
		until(t.Context(), l, Store)
		r, err := readSpooled(b.spool.path(l.id))
		if err != nil {
			t.Fatal(err)
		}
		if r.handle != l.id || r.queue != noble || string(r.body) != string(d.Body) || !r.began.Equal(l.began) ||
			r.request.SwiftUser != "sam" || r.result.Version != "1:2-3" {
			t.Errorf("read back %+v", r)
		}
		if got, want := fmt.Sprintf("%+v", r.parcel), fmt.Sprintf("%+v", l.parcel); got != want {
			t.Errorf("parcel\n%s, want\n%s", got, want)
		}
		tried := []result.RunID{"20261125_120000_aaaaa@", "20261125_120001_aaaaa@"}
		for i, id := range []result.RunID{tried[0], tried[0], tried[1]} {
			if err := l.parcel.rememberRunID(id); err != nil {
				t.Fatal(err)
			}
			if i == 1 {
				if err := l.parcel.rememberSettled(); err != nil {
					t.Fatal(err)
				}
				if r, err = readSpooled(b.spool.path(l.id)); err != nil || !slices.Equal(r.runIDs, tried[:1]) || !r.settled {
					t.Errorf("run ids %q, settled %v, %v", r.runIDs, r.settled, err)
				}
			}
		}
		if r, err = readSpooled(b.spool.path(l.id)); err != nil || !slices.Equal(r.runIDs, tried) || r.settled {
			t.Errorf("run ids %q, settled %v, %v", r.runIDs, r.settled, err)
		}
		for name, content := range map[string]string{"log.gz": "other", "entry.json": "{}", "result.tar": ""} {
			kept, err := os.ReadFile(filepath.Join(b.spool.path(l.id), name))
			if err != nil {
				t.Fatal(err)
			}
			output(b.spool.path(l.id), map[string]string{name: content})
			if _, err := readSpooled(b.spool.path(l.id)); err == nil {
				t.Errorf("accepted with a damaged %s", name)
			}
			output(b.spool.path(l.id), map[string]string{name: string(kept)})
		}
		l.leave(t.Context())
	})
}
