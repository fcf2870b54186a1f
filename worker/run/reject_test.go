package run

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// A request that can never be run is kept somewhere, with the reason, before it is acknowledged.
func TestRejectKeepsTheRequest(t *testing.T) {
	t.Parallel()
	const text = "green\n{"
	for name, test := range map[string]struct {
		prepare func(t *testing.T, b *bench)
		stop    time.Duration // when the worker must stop; 0 for never
		queued  int           // in the broker
		saved   int           // in the folder
		settled [2]int
	}{
		"the exchange is there": {func(*testing.T, *bench) {}, 0, 1, 0, acked},
		"the exchange is missing": {func(_ *testing.T, b *bench) {
			b.session.fail(queue.ErrNoQueue)
		}, 0, 0, 1, acked},
		"there is no session": {func(_ *testing.T, b *bench) { b.broker.withdraw(b.session) }, 0, 0, 1, acked},
		"neither, for an hour": {func(t *testing.T, b *bench) {
			b.session.fail(queue.ErrNoQueue)
			blockFolder(t, b)
			time.AfterFunc(time.Hour, func() { b.session.fail(nil) })
		}, 0, 1, 0, acked},
		"neither, and the worker must stop": {func(t *testing.T, b *bench) {
			b.session.fail(queue.ErrNoQueue)
			blockFolder(t, b)
		}, time.Hour, 0, 0, requeued},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, passes)
				test.prepare(t, b)
				d, m := deliver(text)
				ctx := t.Context()
				if test.stop > 0 {
					ctx = stopAfter(t, test.stop)
				}
				b.newLife(d, b.state).live(ctx)
				if m.settled() != test.settled {
					t.Errorf("settled %v, want %v; the log:\n%s", m.settled(), test.settled, b.logged)
				}
				queued, saved := b.session.wholes(queue.RejectedExchange), savedRejects(b.rejects)
				if len(queued) != test.queued || len(saved) != test.saved {
					t.Fatalf("%d in the broker and %v in the folder, want %d and %d", len(queued), saved, test.queued, test.saved)
				}
				for _, q := range queued {
					if string(q.Body) != text || !q.Persistent || !q.Mandatory || q.Headers[queue.QueueHeader] != noble.Name() ||
						q.Headers[queue.RejectedWorkerHeader] != b.state.worker || !strings.Contains(q.Headers[queue.ReasonHeader], "JSON") {
						t.Errorf("kept as %q with %v", q.Body, q.Headers)
					}
				}
			})
		})
	}
}

// blockFolder puts a file in the place of the folder, as good as a full disk.
func blockFolder(t *testing.T, b *bench) {
	t.Helper()
	if err := os.WriteFile(b.rejects.folder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// savedRejects are the files in the folder of rejected requests, if there is one.
func savedRejects(r rejects) []string {
	entries, _ := os.ReadDir(r.folder)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// What lies in the folder is published once it can be, and what cannot be read stays for people.
func TestRejectedRequestsLeaveTheFolder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		for _, handle := range []string{"a", "b", "c"} {
			if err := b.rejects.save(handle, queue.Rejected{Body: []byte(handle), Reason: "no"}); err != nil {
				t.Fatal(err)
			}
		}
		output(b.rejects.folder, map[string]string{"b.json": "{", "d.json" + draftSuffix: "{"})
		b.session.fail(queue.ErrNoQueue)
		time.AfterFunc(10*time.Minute, func() { b.session.fail(nil) })
		b.publishRejected(stopAfter(t, time.Hour), b.session)
		if got := b.session.sent(queue.RejectedExchange); len(got) != 2 || got[0] != "a" || got[1] != "c" {
			t.Errorf("published %q, want a and c", got)
		}
		if got := savedRejects(b.rejects); len(got) != 2 || got[0] != "b.json" {
			t.Errorf("left in the folder: %v", got)
		}
		if said := strings.Count(b.logged.String(), "rejected requests wait in a folder"); said != 2 {
			t.Errorf("said %d times that requests wait, want once per reason:\n%s", said, b.logged)
		}
	})
}

// A result that the store will never take, when it can be kept nowhere else and the worker must stop, stays in the spool.
func TestRejectAfterTheSpool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		b.store.hook(func(call, _ string) error {
			if call == "put" {
				b.session.fail(queue.ErrNoQueue)
				return store.ErrInvalid
			}
			return nil
		})
		blockFolder(t, b)
		d, m := deliver(body("green"))
		l := b.newLife(d, b.state)
		until(t.Context(), l, Reject)
		if got := l.step(stopAfter(t, time.Hour), Reject); got != Shelve {
			t.Errorf("from reject to %s, want %s, which keeps the lease", got, Shelve)
		}
		l.shelve(t.Context())
		l.leave(t.Context())
		if _, err := os.Stat(b.spool.path(l.id)); err != nil || m.settled() != requeued {
			t.Errorf("settled %v, the result in the spool: %v; the log:\n%s", m.settled(), err, b.logged)
		}
	})
}
