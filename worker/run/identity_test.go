package run

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// What makes a request the same as another one: each of these tests counts the results of requests with equal bytes. In all
// of them two workers share a store.

// end drains both and waits, so that all leases are done with.
func end(t *testing.T, benches []*bench, ended []<-chan struct{}) {
	t.Helper()
	for i, b := range benches {
		b.Drain()
		<-ended[i]
		b.leases.Wait()
	}
	if left := benches[0].left(t); len(left) != 0 {
		t.Errorf("leases left: %v", left)
	}
	for _, b := range benches {
		if left := b.folders(t); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func two(t *testing.T) (benches []*bench, ended []<-chan struct{}) {
	t.Helper()
	one := newBench(t, passes)
	benches = []*bench{one, one.beside(t, passes)}
	for _, b := range benches {
		ended = append(ended, b.dispatching(t.Context()))
	}
	return benches, ended
}

// The same bytes yesterday and today, also when today's worker dies on it: today's own result counts.
func TestYesterdayAndToday(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, ended := two(t)
		d, m := deliver(body("green"))
		b[0].incoming <- d
		time.Sleep(24 * time.Hour)
		if m.settled() != acked || len(b[0].stored(t, "green")) != 1 {
			t.Fatal("yesterday's is not done")
		}
		again, m := redeliver(body("green")) // from a worker that had no lease in time
		b[1].incoming <- again
		time.Sleep(10 * time.Minute)
		if got := b[0].stored(t, "green"); len(got) != 2 || m.settled() != acked {
			t.Errorf("results %v, want two; settled %v", got, m.settled())
		}
		end(t, b, ended)
	})
}

// The delivery timeout takes the request from a worker that is still at it, and gives it to another.
func TestTimedOutWhileTheFirstRunLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, ended := two(t)
		d, lost := deliver(body("green"))
		b[0].incoming <- d
		time.Sleep(time.Minute)
		lost.lose()
		again, m := redeliver(body("green"))
		b[1].incoming <- again
		time.Sleep(time.Minute)
		if got := b[1].Running(); len(got) != 1 || got[0].State != Wait {
			t.Errorf("the second worker: %+v, want it to wait", got)
		}
		time.Sleep(10 * time.Minute)
		if got := b[0].stored(t, "green"); len(got) != 1 || m.settled() != acked || lost.settled() != unsettled {
			t.Errorf("results %v, want one; settled %v and %v", got, lost.settled(), m.settled())
		}
		if b[0].testbeds.count() != 1 || b[1].testbeds.count() != 0 {
			t.Errorf("%d and %d runs, want one and none", b[0].testbeds.count(), b[1].testbeds.count())
		}
		end(t, b, ended)
	})
}

// The first worker is cut off from the broker and from the leases for long, so that the second one cannot but run the test.
func TestTheFirstRunLooksDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, ended := two(t)
		slow := func(ctx context.Context, job testbed.Job) (testbed.Outcome, error) {
			sleep(ctx, 20*time.Minute)
			return passes(ctx, job)
		}
		b[0].testbeds.script = slow
		d, lost := deliver(body("green"))
		b[0].incoming <- d
		time.Sleep(time.Minute)
		lost.lose()
		back := time.Now().Add(10 * time.Minute)
		b[0].store.hookLeases(func(string, string) error {
			if time.Now().Before(back) {
				return store.ErrUnavailable
			}
			return nil
		})
		again, m := redeliver(body("green"))
		b[1].incoming <- again
		time.Sleep(time.Hour)
		if got := b[0].stored(t, "green"); len(got) != 1 || m.settled() != acked {
			t.Errorf("results %v, want one; settled %v", got, m.settled())
		}
		if b[1].testbeds.count() != 1 {
			t.Errorf("%d runs at the second worker, want one", b[1].testbeds.count())
		}
		end(t, b, ended)
	})
}

// A worker stores a result and dies before it acknowledges, with an equal request in another slot that is not done: the two
// requests come to two workers, and one of them takes the result.
func TestEqualRequestsOfADeadWorker(t *testing.T) {
	t.Parallel()
	for name, results := range map[string]int{"none stored": 0, "one stored": 1, "both stored": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, ended := two(t)
				d, _ := deliver(body("green"))
				dead := b[0].newLife(d, b[0].state)
				for i := range 2 {
					o := b[0].other(t, dead).begin(t)
					if i < results {
						o.publish(t, time.Now().Add(time.Duration(i-10)*time.Second))
					}
				}
				dead.entry.drop()
				var messages []*fakeMessage
				for i := range 2 {
					d, m := redeliver(body("green"))
					messages = append(messages, m)
					b[i].incoming <- d
				}
				time.Sleep(20 * time.Minute)
				if got := b[0].stored(t, "green"); len(got) != 2 || count(messages, acked) != 2 {
					t.Errorf("results %v, want two; %d acknowledged", got, count(messages, acked))
				}
				if runs := b[0].testbeds.count() + b[1].testbeds.count(); runs != 2-results {
					t.Errorf("%d runs, want %d", runs, 2-results)
				}
				end(t, b, ended)
			})
		})
	}
}

// Stored, not acknowledged, and the broker gives the request to the same worker again, or to another, or to the next one in
// the same state directory.
func TestStoredNotAcknowledgedAnywhere(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(*testing.T, *bench) *bench{
		"the same worker": func(_ *testing.T, b *bench) *bench { return b },
		"another worker":  func(t *testing.T, b *bench) *bench { return b.beside(t, passes) },
		"the next start":  func(t *testing.T, b *bench) *bench { return b.restarted(t, passes) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				first := newBench(t, passes)
				d, lost := deliver(body("green"))
				time.AfterFunc(time.Minute, lost.lose)
				first.newLife(d, first.state).live(t.Context())
				first.leases.Wait()
				b := next(t, first)
				again, m := redeliver(body("green"))
				b.newLife(again, b.state).live(t.Context())
				b.leases.Wait()
				// And an equal one after that is a new one.
				third, m3 := redeliver(body("green"))
				b.newLife(third, b.state).live(t.Context())
				if m.settled() != acked || m3.settled() != acked {
					t.Errorf("settled %v, %v", m.settled(), m3.settled())
				}
				if got := b.stored(t, "green"); len(got) != 2 {
					t.Errorf("results %v, want one for the first, one for the last", got)
				}
				if left := b.left(t); len(left) != 0 {
					t.Errorf("leases left: %v", left)
				}
			})
		})
	}
}

// A broker is killed right after an acknowledgement, forgets it, and gives the request to another worker, or to the same.
func TestForgottenAcknowledgement(t *testing.T) {
	t.Parallel()
	for next := range 2 {
		synctest.Test(t, func(t *testing.T) {
			b, ended := two(t)
			d, m := deliver(body("green"))
			b[0].incoming <- d
			for m.settled() != acked {
				time.Sleep(time.Second)
			}
			b[0].leases.SessionLost()
			b[1].leases.SessionLost()
			time.Sleep(20 * time.Second)
			again, m := redeliver(body("green"))
			b[next].incoming <- again
			time.Sleep(10 * time.Minute)
			if got := b[0].stored(t, "green"); len(got) != 1 || m.settled() != acked {
				t.Errorf("worker %d: results %v, want one; settled %v", next, got, m.settled())
			}
			end(t, b, ended)
		})
	}
}
