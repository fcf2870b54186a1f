package run

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// TestCommands is the machine's other table: from each state, with each command, to how the request ends.
func TestCommands(t *testing.T) {
	t.Parallel()
	waits := func(t *testing.T, b *bench, l *life) { b.other(t, l).begin(t).beat(t, 20*time.Minute) }
	noImage := func(t *testing.T, b *bench, _ *life) {
		if err := os.Remove(b.image(noble)); err != nil {
			t.Fatal(err)
		}
	}
	storeAway := func(_ *testing.T, b *bench, _ *life) { away(b, "put", 20*time.Minute) }
	spoolFull := func(t *testing.T, b *bench, _ *life) { fullSpool(t, b, 20*time.Minute) }
	noBroker := func(_ *testing.T, b *bench, _ *life) {
		b.broker.withdraw(b.session)
		time.AfterFunc(20*time.Minute, func() { b.broker.lend(b.session) })
	}
	nothing := func(*testing.T, *bench, *life) {}
	for _, test := range []struct {
		state State
		again bool
		with  func(*testing.T, *bench, *life)
		after time.Duration
		late  bool
	}{
		{state: Wait, again: true, with: waits, after: time.Minute},
		{state: Prepare, with: noImage, after: time.Minute},
		{state: Run, with: nothing, after: time.Minute},
		{state: Collect, with: spoolFull, after: 10 * time.Minute, late: true},
		{state: Store, with: storeAway, after: 10 * time.Minute, late: true},
		{state: Announce, with: noBroker, after: 10 * time.Minute, late: true},
	} {
		for _, to := range []State{Abort, Handback} {
			t.Run(string(test.state)+", "+string(to), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, passes)
					d, m := deliver(body("green"))
					d.Redelivered = test.again
					l := b.newLife(d, b.state)
					test.with(t, b, l)
					ended := make(chan struct{})
					go func() {
						defer close(ended)
						l.live(t.Context())
					}()
					time.Sleep(test.after)
					if got := l.current(); got != test.state {
						t.Fatalf("state %s, want %s", got, test.state)
					}
					do := map[State]func(string, string) error{Abort: b.Cancel, Handback: b.Requeue}[to]
					err := do(l.id, "joe\n")
					again := do(l.id, "ann")
					if test.late != errors.Is(err, ErrTooLate) || again == nil {
						t.Errorf("the command: %v; a second one: %v", err, again)
					}
					<-ended
					b.leases.Wait()
					ids, want := b.stored(t, "green"), 1
					if to == Handback && !test.late {
						want = 0
					}
					if len(ids) != want || len(b.session.completions(t)) != want {
						t.Fatalf("results %v, announced %+v, want %d", ids, b.session.completions(t), want)
					}
					if settled := map[int][2]int{0: requeued, 1: acked}[want]; m.settled() != settled {
						t.Errorf("settled %v, want %v", m.settled(), settled)
					}
					if left := b.folders(t); len(left) != 0 {
						t.Errorf("left behind: %v", left)
					}
					if to == Abort && !test.late {
						cancelled(t, b, ids[0])
					}
				})
			})
		}
	}
}

// cancelled wants the result of a request that joe has cancelled.
func cancelled(t *testing.T, b *bench, id result.RunID) {
	t.Helper()
	at := result.Location{Container: "autopkgtest-noble", Release: "noble", Architecture: "amd64", Package: "green", RunID: id}
	raw, _ := b.object(t, at, result.TarObject)
	got, err := result.ReadTar(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if got.ExitCode != 16 || string(got.Summary) != "testbed failure: cancelled by joe\n" || got.Version != "1:2-3" ||
		!slices.Equal(got.Triggers, []string{"green/1:2-3"}) {
		t.Errorf("result %+v", got)
	}
	packed, _ := b.object(t, at, result.LogObject)
	lines := strings.Split(strings.TrimSuffix(gunzip(t, packed), "\n"), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "autopkgtest-cloud [") || !strings.HasSuffix(last, "]: testbed failure: cancelled by joe") {
		t.Errorf("log %q", lines)
	}
}

// A command that comes when the test has just ended counts; the worker's own end comes before it.
func TestCommandAtTheEdge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		var l *life
		b.testbeds.script = func(ctx context.Context, job testbed.Job) (testbed.Outcome, error) {
			if err := b.Cancel(l.id, "joe"); err != nil {
				t.Error(err)
			}
			return quick(ctx, job)
		}
		d, m := deliver(body("green"))
		l = b.newLife(d, b.state)
		l.live(t.Context())
		if got := b.session.completions(t); len(got) != 1 || got[0].ExitCode != 16 || m.settled() != acked {
			t.Errorf("announced %+v, settled %v", got, m.settled())
		}
		for _, do := range []func(string, string) error{b.Cancel, b.Requeue} {
			if err := do(l.id, "joe"); !errors.Is(err, ErrNotHere) || !strings.Contains(err.Error(), l.id) {
				t.Errorf("a handle that is gone: %v", err)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		ctx, stop := context.WithCancel(t.Context())
		d, m := deliver(body("green"))
		l := b.newLife(d, b.state)
		time.AfterFunc(time.Minute, func() {
			stop()
			_ = b.Cancel(l.id, "joe")
		})
		l.live(ctx)
		if m.settled() != requeued || len(b.session.sent("testcomplete.fanout")) != 0 {
			t.Errorf("settled %v", m.settled())
		}
	})
}

// A request whose result is in the store is cancelled before that was noticed: it has one result nevertheless, its own.
func TestCancelledTooLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		d, m := redeliver(body("green"))
		l := b.newLife(d, b.state)
		b.other(t, l).begin(t).publish(t, time.Now()).end(t)
		if err := b.command(l.id, command{Abort, "joe"}); !errors.Is(err, ErrNotHere) {
			t.Errorf("before it lives: %v", err)
		}
		if err := l.obey(command{Abort, "joe"}); err != nil {
			t.Fatal(err)
		}
		l.live(t.Context())
		completions := b.session.completions(t)
		if got := b.stored(t, "green"); len(got) != 1 || len(completions) != 1 || completions[0].ExitCode != 4 || m.settled() != acked {
			t.Errorf("results %v, announced %+v, settled %v", got, completions, m.settled())
		}
	})
}

// What a test has put in the place of our files does not come in the way.
func TestCancelHostileOutput(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		outside := filepath.Join(t.TempDir(), "outside")
		output(filepath.Dir(outside), map[string]string{"outside": "untouched"})
		b := newBench(t, func(ctx context.Context, job testbed.Job) (testbed.Outcome, error) {
			for _, name := range []string{"log", "summary"} {
				if err := os.Symlink(outside, filepath.Join(job.OutputDir, name)); err != nil {
					t.Error(err)
				}
			}
			sleep(ctx, time.Hour)
			return testbed.Outcome{}, context.Cause(ctx)
		})
		d, _ := deliver(body("green"))
		d.Body = []byte(body("green"))
		l := b.newLife(d, b.state)
		time.AfterFunc(time.Minute, func() { _ = b.Cancel(l.id, "joe") })
		l.live(t.Context())
		if content, err := os.ReadFile(outside); err != nil || string(content) != "untouched" {
			t.Errorf("outside: %q, %v", content, err)
		}
		if ids := b.stored(t, "green"); len(ids) != 1 {
			t.Errorf("results %v", ids)
		} else {
			cancelled(t, b, ids[0])
		}
	})
}

// refusals is a policy by package.
type refusals map[string][2]string

func (r refusals) Refuse(_ request.Queue, pkg string) (string, string, bool) {
	reason, refuse := r[pkg]
	return reason[0], reason[1], refuse
}

// Requests that are not run end in a result that everybody can read, at once.
func TestDeclined(t *testing.T) {
	t.Parallel()
	policy := refusals{
		"green": {"it takes the machine with it; ask ops@example.org", result.Blacklisted},
		"blue":  {"there is no such port; ask ops@example.org", result.Unknown},
	}
	for _, again := range []bool{false, true} {
		for pkg, why := range policy {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, passes, func(s *Settings) { s.Policy = policy })
				text := pkg + "\n" + `{"triggers": ["` + pkg + `/1:2-3", "red/4"], "requester": "joe"}`
				d, m := deliver(text)
				d.Redelivered = again
				b.newLife(d, b.state).live(t.Context())
				completions := b.session.completions(t)
				if len(completions) != 1 || m.settled() != acked || b.testbeds.count() != 0 {
					t.Fatalf("announced %+v, settled %v, %d runs", completions, m.settled(), b.testbeds.count())
				}
				c := completions[0]
				if c.ExitCode != 99 || c.Version != why[1] || c.Duration != 0 || c.Requester != "joe" {
					t.Errorf("announced %+v", c)
				}
				raw, _ := b.object(t, c.Location, result.TarObject)
				got, err := result.ReadTar(bytes.NewReader(raw))
				if err != nil {
					t.Fatal(err)
				}
				got.TestInfo, got.Handle = nil, ""
				want := result.Result{
					ExitCode: 99, Source: pkg, Version: why[1], Requester: "joe", Triggers: []string{pkg + "/1:2-3", "red/4"},
					Request: []byte(text),
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("result.tar (-want +got):\n%s", diff)
				}
				log, _ := b.object(t, c.Location, result.LogObject)
				if got := gunzip(t, log); !strings.Contains(got, pkg+" is not run for noble on amd64: "+why[0]) {
					t.Errorf("log %q", got)
				}
				if left := b.folders(t); len(left) != 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes, func(s *Settings) { s.Policy = policy })
		d, _ := deliver(body("red"))
		b.newLife(d, b.state).live(t.Context())
		if b.testbeds.count() != 1 {
			t.Error("a package that the policy allows was not run")
		}
	})
}
