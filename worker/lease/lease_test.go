package lease

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/directory"
)

// desk is a store that may be away, and the registries of the workers that use it.
type desk struct {
	store.Store
	folder string

	mu   sync.Mutex
	away bool
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{folder: t.TempDir()}
	s, err := directory.New(filepath.Join(d.folder, "store"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	d.Store = s
	return d
}

func (d *desk) leave(away bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = away
}

func (d *desk) Put(ctx context.Context, container, object string, body io.ReadSeeker, size int64, p store.Properties) error {
	d.mu.Lock()
	away := d.away
	d.mu.Unlock()
	if away {
		return store.ErrUnavailable
	}
	return d.Store.Put(ctx, container, object, body, size, p)
}

func (d *desk) registry(t *testing.T, worker string) *Registry {
	t.Helper()
	records := filepath.Join(d.folder, worker)
	if err := os.MkdirAll(records, 0o700); err != nil {
		t.Fatal(err)
	}
	return NewRegistry(d, worker, records, slog.New(slog.DiscardHandler))
}

const queueName = "debci-noble-amd64"

var requested = Identify(queueName, []byte("green"))

func life(handle string) Life {
	return Life{Handle: handle, Request: requested, Queue: queueName, Package: "green", Since: time.Now(), Log: slog.New(slog.DiscardHandler)}
}

// left lists the leases in the store.
func (d *desk) left(t *testing.T) (names []string) {
	t.Helper()
	for entry, err := range store.Walk(t.Context(), d.Store, Container, "", "", "") {
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
		if err == nil {
			names = append(names, filepath.Base(entry.Name))
		}
	}
	return names
}

// written writes a lease that must be ours.
func written(t *testing.T, k *Lease) {
	t.Helper()
	if standing, err := k.Write(t.Context()); err != nil || standing != Held {
		t.Fatalf("%v, %v", standing, err)
	}
}

func only(t *testing.T, w *Watch) Other {
	t.Helper()
	others, err := w.Others(t.Context())
	if err != nil || len(others) != 1 {
		t.Fatalf("others %+v, %v; want one", others, err)
	}
	return others[0]
}

func TestALeaseBeatsAndGoes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fate Fate
		left int
	}{"over": {Over, 0}, "ended": {Ended, 1}, "kept": {Kept, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t)
				r := d.registry(t, "one")
				k := r.New(life("a"), false)
				k.Keep()
				watch := d.registry(t, "two").New(life("b"), true).Watch()
				time.Sleep(10*time.Minute + time.Second)
				if other := only(t, watch); other.Dead || other.Beat != 31 || other.Handle != "a" {
					t.Errorf("after ten minutes: %+v", other)
				}
				k.End(test.fate)
				r.Wait()
				if got := d.left(t); len(got) != test.left {
					t.Errorf("left %v, want %d", got, test.left)
				}
				if test.fate == Ended && !only(t, watch).Dead {
					t.Error("an ended lease looks alive")
				}
				if _, err := readRecord(r.record("a")); (err == nil) != (test.fate == Kept) {
					t.Errorf("its record: %v", err)
				}
			})
		})
	}
}

// One whose worker is silent for a minute is taken over, once, with the lives before; its holder notices, and lets go.
func TestTake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		silent := &desk{Store: d.Store, folder: d.folder}
		first := silent.registry(t, "one")
		k := first.New(life("a"), false)
		k.Keep()
		synctest.Wait()
		silent.leave(true)

		takers := []*Registry{d.registry(t, "two"), d.registry(t, "three")}
		var leases []*Lease
		var won [2]bool
		var racing sync.WaitGroup
		for i, handle := range []string{"b", "c"} {
			k := takers[i].New(life(handle), true)
			k.Keep()
			leases = append(leases, k)
			racing.Go(func() {
				watch := k.Watch()
				for range 30 {
					time.Sleep(5 * time.Second)
					others, err := watch.Others(t.Context())
					if err != nil {
						t.Error(err)
					}
					for _, other := range others {
						if !other.Dead || other.Waiting {
							continue
						}
						taken, err := k.Take(t.Context(), other)
						if err != nil {
							t.Error(err)
						}
						won[i] = won[i] || taken
					}
				}
			})
		}
		racing.Wait()
		if won[0] == won[1] {
			t.Fatalf("taken over: %v, want it once", won)
		}
		winner := slices.Index(won[:], true)
		if before, quiet := leases[winner].Before(time.Hour); !slices.Equal(before, []string{"a"}) || quiet.Before(time.Now()) {
			t.Errorf("before: %v, quiet from %v on", before, quiet)
		}
		silent.leave(false)
		if standing, err := k.Standing(t.Context()); standing != Lost || err != nil {
			t.Errorf("who was taken for dead: %v, %v", standing, err)
		}
		k.End(Over)
		first.Wait()
		if standing, err := leases[winner].Standing(t.Context()); standing != Held || err != nil {
			t.Errorf("who took it over: %v, %v", standing, err)
		}
		for i, k := range leases {
			k.End(Over)
			takers[i].Wait()
		}
		if got := d.left(t); len(got) != 0 {
			t.Errorf("left %v", got)
		}
	})
}

// Of some that claim in one moment, one goes on, and the others wait for it.
func TestClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		var claiming sync.WaitGroup
		var claimed [3]bool
		for i, handle := range []string{"a", "b", "c"} {
			k := d.registry(t, handle).New(life(handle), true)
			claiming.Go(func() {
				ours, err := k.Claim(t.Context(), k.Watch())
				if err != nil {
					t.Error(err)
				}
				if claimed[i] = ours; ours == k.Waits() {
					t.Errorf("%s: claimed %v, waits %v", handle, ours, k.Waits())
				}
			})
		}
		claiming.Wait()
		if claimed != [3]bool{true, false, false} {
			t.Errorf("claimed: %v, want the first alone", claimed)
		}
		late := d.registry(t, "late").New(life("0"), true)
		if ours, err := late.Claim(t.Context(), late.Watch()); ours || err != nil {
			t.Errorf("claimed beside one that works: %v, %v", ours, err)
		}
	})
}

// What a worker that was killed has left in the store is put right by its next start, and nothing else is touched.
func TestEndDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		r := d.registry(t, "one")
		write := func(handle, worker string, change func(*Content)) {
			c := Content{Worker: worker, Handle: handle, Queue: queueName}
			change(&c)
			if err := put(t.Context(), d, requested.folder()+handle, c); err != nil {
				t.Fatal(err)
			}
			if err := (record{path: r.record(handle), Object: requested.folder() + handle, Written: true, Doubtful: true}).write(); err != nil {
				t.Fatal(err)
			}
		}
		write("works", "one", func(*Content) {})
		write("waits", "one", func(c *Content) { c.Waiting = true })
		write("adopted", "two", func(*Content) {})
		write("spooled", "one", func(*Content) {})
		if err := (record{path: r.record("never"), Object: requested.folder() + "never"}).write(); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{"damaged": `{"object": "../../x"}`, "empty": "", ".draft": "x"} {
			if err := os.WriteFile(r.record(name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r.EndDead(t.Context(), r.Dead(func(handle string) bool { return handle == "spooled" }))
		if got, want := d.left(t), []string{"adopted", "spooled", "works"}; !slices.Equal(got, want) {
			t.Errorf("left %v, want %v", got, want)
		}
		for handle, ended := range map[string]bool{"works": true, "adopted": false, "spooled": false} {
			if c, err := get(t.Context(), d, requested.folder()+handle); err != nil || c.Ended != ended || c.Doubtful != ended {
				t.Errorf("%s: %+v, %v", handle, c, err)
			}
		}
		files, err := os.ReadDir(r.records)
		if err != nil || len(files) != 1 || files[0].Name() != "spooled" {
			t.Errorf("records left: %v, %v", files, err)
		}
	})
}

// A lease whose message is gone is removed, and no other.
func TestSweep(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		waiting int
		alive   bool // somebody has an equal request in work
		gone    bool
	}{
		"its message is nowhere":     {0, false, true},
		"its message may be waiting": {1, false, false},
		"somebody may have it":       {0, true, false},
		"nobody knows the queue":     {-1, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			r := d.registry(t, "one")
			object := requested.folder() + "dead"
			if err := put(t.Context(), d, object, Content{Worker: "two", Handle: "dead", Queue: queueName, Ended: true}); err != nil {
				t.Fatal(err)
			}
			waiting := func(_ context.Context, queue string) (int, error) {
				if queue != queueName {
					t.Errorf("asked for %q", queue)
				}
				if test.waiting < 0 {
					return 0, errors.New("no session")
				}
				return test.waiting, nil
			}
			for n := range 3 {
				if test.alive {
					if err := put(t.Context(), d, requested.folder()+"alive", Content{Worker: "two", Handle: "alive", Beat: n}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(20 * time.Millisecond) // so that the store's time differs
				}
				if n == 1 && !slices.Contains(d.left(t), "dead") {
					t.Error("removed at the first look")
				}
				if err := r.Sweep(t.Context(), waiting); err != nil {
					t.Fatal(err)
				}
			}
			if gone := !slices.Contains(d.left(t), "dead"); gone != test.gone {
				t.Errorf("gone: %v, want %v", gone, test.gone)
			}
		})
	}
}

// A record that cannot be written leaves nothing beside the one before it.
func TestRecordThatFails(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	r := record{path: filepath.Join(folder, "a"), Object: "x/a"}
	if err := os.MkdirAll(filepath.Join(r.path, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := r.write(); err == nil {
		t.Fatal("written over a folder")
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != 1 {
		t.Errorf("left %v, %v", files, err)
	}
}

// The lease of a settled request goes before it can look dead. If the session is lost before, others find it for a while.
func TestSettled(t *testing.T) {
	t.Parallel()
	for name, killed := range map[string]time.Duration{
		"the broker stays": 0, "the broker is killed": 10 * time.Second, "the broker is killed before the keeper knows": -1,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t)
				r := d.registry(t, "one")
				k := r.New(life("a"), false)
				k.Keep()
				time.Sleep(70 * time.Second)
				watch := d.registry(t, "two").New(life("b"), true).Watch()
				k.Publish("20261125_120000_aaaaa@")
				k.Settle()
				if killed < 0 {
					r.SessionLost()
				}
				k.End(Settled)
				synctest.Wait()
				// The worker may be killed now, and its disk lost with it.
				other := only(t, watch)
				if other.Dead && killed >= 0 {
					t.Errorf("dead at once: %+v", other)
				}
				if other.Published == "" || !other.Doubtful {
					t.Errorf("at once: %+v", other)
				}
				if killed != 0 {
					if killed > 0 {
						time.Sleep(killed)
						r.SessionLost()
					}
					synctest.Wait()
					if other := only(t, watch); !other.Dead || !other.Doubtful || other.Published == "" {
						t.Errorf("after the session was lost: %+v", other)
					}
					time.Sleep(4 * time.Minute)
					only(t, watch)
					time.Sleep(2 * time.Minute)
				} else {
					time.Sleep(40 * time.Second)
				}
				if got := d.left(t); len(got) != 0 {
					t.Errorf("left %v", got)
				}
			})
		})
	}
}

// A worker that stops soon after the broker was killed leaves the leases of what it has just acknowledged: the broker may give
// that out again. Those of a session that went on go with the worker. In each case nothing is left for its next start to do.
func TestSettledAndStopped(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		killed bool
		after  time.Duration
	}{
		"the broker stays":                      {false, 2 * time.Second},
		"the broker was killed":                 {true, 2 * time.Second},
		"the broker was killed two minutes ago": {true, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t)
				r := d.registry(t, "one")
				k := r.New(life("a"), false)
				k.Keep()
				if _, err := k.Write(t.Context()); err != nil {
					t.Fatal(err)
				}
				k.Publish("20261125_120000_aaaaa@")
				k.Settle()
				k.End(Settled)
				if tc.killed {
					r.SessionLost()
				}
				time.Sleep(tc.after)
				r.Close(5 * time.Second)
				if files, err := os.ReadDir(r.records); err != nil || len(files) != 0 {
					t.Errorf("records left: %v, %v", files, err)
				}
				if !tc.killed {
					if got := d.left(t); len(got) != 0 {
						t.Errorf("left %v", got)
					}
					return
				}
				watch := d.registry(t, "two").New(life("b"), true).Watch()
				if other := only(t, watch); !other.Dead || !other.Doubtful || other.Published == "" {
					t.Errorf("after the worker has stopped: %+v", other)
				}
			})
		})
	}
}

// A life that was resumed, and settles its request before this process has written its lease once, leaves it for as long as others
// do: somebody who was given the message before may not know yet that it was taken from him.
func TestSettledAfterAStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		before := d.registry(t, "one")
		k := before.New(life("a"), false)
		k.Keep()
		written(t, k)
		k.End(Kept)
		before.Close(5 * time.Second)

		r := NewRegistry(before.store, "one", before.records, before.log)
		d.leave(true) // the first beat fails
		resumed := r.Resume(life("a"))
		resumed.Keep()
		time.Sleep(time.Second)
		d.leave(false)
		if standing, err := resumed.Standing(t.Context()); err != nil || standing != Held {
			t.Fatalf("%v, %v", standing, err)
		}
		resumed.Publish("20261125_120000_aaaaa@")
		resumed.Settle()
		resumed.End(Settled)
		time.Sleep(10 * time.Second)
		only(t, d.registry(t, "two").New(life("b"), true).Watch())
		time.Sleep(time.Minute)
		if got := d.left(t); len(got) != 0 {
			t.Errorf("left %v", got)
		}
	})
}

// A worker that is killed a moment after an acknowledgement has noted down what it had not told the store yet. The next one knows that
// before it can tell the store: whoever gets the message again must not take a result that readers have seen for one that they may
// have passed over.
func TestRecordOfADeadWorkerCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		before := d.registry(t, "one")
		k := before.New(life("a"), false)
		k.Keep()
		synctest.Wait()
		written(t, k)
		k.Publish("20261125_120000_aaaaa@")
		k.Settle()
		k.End(Settled)
		time.Sleep(time.Second)

		after := NewRegistry(before.store, "one", before.records, before.log)
		again := after.New(life("b"), true)
		again.Keep()
		other := only(t, again.Watch())
		if !other.Dead || other.Published != "20261125_120000_aaaaa@" || !other.Doubtful {
			t.Errorf("the next worker knows %+v", other)
		}
		if taken, err := again.Take(t.Context(), other); err != nil || !taken {
			t.Errorf("taken: %t, %v", taken, err)
		}
		got, err := get(t.Context(), d, requested.folder()+"a")
		if err != nil || got.Published != "20261125_120000_aaaaa@" || got.Handle != "b" {
			t.Errorf("the lease says %+v, %v", got, err)
		}
		again.End(Over)
		after.Close(5 * time.Second)
		before.Close(5 * time.Second)
	})
}

// A life whose worker was killed while it claimed goes on with a lease that others take for one that waits: it has to be written
// before anything is published under it, or the next start of the worker would remove it, and leave a result without a lease.
func TestResumedClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		before := d.registry(t, "one")
		k := before.New(life("a"), false)
		k.note()
		k.set(func(c *Content) { c.Waiting, c.Claiming = true, true })
		written(t, k)
		r := NewRegistry(before.store, "one", before.records, before.log)
		resumed := r.Resume(life("a"))
		if standing, err := resumed.Standing(t.Context()); err != nil || standing != Unwritten {
			t.Errorf("a claim that was not brought to its end is %v, %v, want %v", standing, err, Unwritten)
		}
		written(t, resumed)
		watch := d.registry(t, "two").New(life("b"), true).Watch()
		if other := only(t, watch); other.Waiting {
			t.Errorf("it still waits: %+v", other)
		}
	})
}

// A worker that stops says in the store that the life is over, and which result counts, and forgets its record. Its next start
// must not forget the result.
func TestResumedResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		before := d.registry(t, "one")
		k := before.New(life("a"), false)
		k.Keep()
		if _, err := k.Write(t.Context()); err != nil {
			t.Fatal(err)
		}
		k.Publish("20261125_120000_aaaaa@")
		k.End(Ended)
		before.Wait()
		r := NewRegistry(before.store, "one", before.records, before.log)
		resumed := r.Resume(life("a"))
		resumed.Keep()
		if standing, err := resumed.Standing(t.Context()); err != nil || standing != Held {
			t.Errorf("%v, %v", standing, err)
		}
		resumed.End(Ended)
		r.Wait()
		watch := d.registry(t, "two").New(life("b"), true).Watch()
		if other := only(t, watch); !other.Dead || other.Published == "" {
			t.Errorf("after the life that went on: %+v", other)
		}
	})
}

// Others learn in a moment, not with the next beat, which result counts.
func TestNews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		r := d.registry(t, "one")
		k := r.New(life("a"), false)
		k.Keep()
		watch := d.registry(t, "two").New(life("b"), true).Watch()
		time.Sleep(time.Second)
		k.Publish("20261125_120000_aaaaa@")
		time.Sleep(time.Second)
		if other := only(t, watch); other.Published == "" || other.Beat != 2 {
			t.Errorf("a second after its publication: %+v", other)
		}
		k.End(Over)
		r.Wait()
	})
}

// TestWrittenLate: a lease that could not be written is there seconds after the store, not a beat later.
func TestWrittenLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		r := d.registry(t, "one")
		d.leave(true)
		k := r.New(life("a"), false)
		k.Keep()
		watch := d.registry(t, "two").New(life("b"), true).Watch()
		time.Sleep(5 * time.Second)
		d.leave(false)
		time.Sleep(4 * time.Second)
		if other := only(t, watch); other.Handle != "a" || other.Dead {
			t.Errorf("four seconds after the store is back: %+v", other)
		}
		k.End(Over)
		r.Wait()
	})
}
