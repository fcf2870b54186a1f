package run

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// until brings a life to a state, as a whole life would come there.
func until(ctx context.Context, l *life, state State) {
	for at := Accept; at != state; {
		at = l.step(ctx, at)
		if at == End {
			return
		}
	}
}

// stopAfter is a context that ends after some (fake) time.
func stopAfter(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeoutCause(t.Context(), d, errStopping)
	t.Cleanup(cancel)
	return ctx
}

// away is a store that is away until a given time from now.
func away(b *bench, call string, d time.Duration) {
	back := time.Now().Add(d)
	b.store.hook(func(c, _ string) error {
		if c == call && time.Now().Before(back) {
			return store.ErrUnavailable
		}
		return nil
	})
}

// ordered is the coming of a command.
func ordered(to State) func(*testing.T, *bench, *life) {
	return func(_ *testing.T, _ *bench, l *life) { _ = l.obey(command{to, "joe"}) }
}

// fullSpool puts a file where the spool's folder should be, for some time: nothing can be packed.
func fullSpool(t *testing.T, b *bench, d time.Duration) {
	t.Helper()
	folder, aside := b.spool.folder, b.spool.folder+".aside"
	if err := errors.Join(os.Rename(folder, aside), os.WriteFile(folder, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(d, func() {
		if err := errors.Join(os.Remove(folder), os.Rename(aside, folder)); err != nil {
			t.Error(err)
		}
	})
}

// TestSteps is the state machine as a table: from each state, with what may happen there, to the next.
func TestSteps(t *testing.T) {
	t.Parallel()
	type happening func(t *testing.T, b *bench, l *life)
	nothing := func(*testing.T, *bench, *life) {}
	for name, test := range map[string]struct {
		from  State
		body  string        // of the request; empty for an ordinary one
		again bool          // redelivered
		stop  time.Duration // when the worker must stop; 0 for never
		with  happening
		want  State
	}{
		"accept":               {from: Accept, with: nothing, want: Prepare},
		"accept, package only": {from: Accept, body: "green", with: nothing, want: Prepare},
		"accept, malformed":    {from: Accept, body: "no package\n{}", with: nothing, want: Reject},
		"accept, not JSON":     {from: Accept, body: "green\n{", with: nothing, want: Reject},
		"accept, again":        {from: Accept, again: true, with: nothing, want: Wait},

		"wait, nothing known": {from: Wait, again: true, with: nothing, want: Prepare},
		"wait, another's worker's result, of a foreign kind": {from: Wait, again: true, with: func(t *testing.T, b *bench, _ *life) {
			b.foreign(t, time.Now().Add(-30*time.Hour), body("green"))
		}, want: Announce},
		"wait, done while the store was away": {from: Wait, again: true, with: func(t *testing.T, b *bench, _ *life) {
			b.foreign(t, time.Now(), body("green"))
			away(b, "list", time.Hour)
		}, want: Announce},
		"wait, and an equal one done long ago": {from: Wait, body: "green", again: true, with: func(t *testing.T, b *bench, _ *life) {
			b.foreign(t, time.Now().Add(-30*time.Hour), "green")
		}, want: Prepare},
		"wait, and an equal one just done": {from: Wait, body: "green", again: true, with: func(t *testing.T, b *bench, _ *life) {
			b.foreign(t, time.Now().Add(-time.Minute), "green")
		}, want: Announce},
		"wait, a result whose message is settled": {from: Wait, again: true, with: func(t *testing.T, b *bench, l *life) {
			b.other(t, l).publish(t, time.Now())
		}, want: Prepare},
		"wait, a result that nobody got to acknowledge": {from: Wait, again: true, with: func(t *testing.T, b *bench, l *life) {
			b.other(t, l).begin(t).publish(t, time.Now()).end(t)
		}, want: Announce},
		"wait, yesterday's settled, today's not": {from: Wait, again: true, with: func(t *testing.T, b *bench, l *life) {
			b.other(t, l).publish(t, time.Now().Add(-24*time.Hour))
			b.other(t, l).begin(t).publish(t, time.Now()).end(t)
		}, want: Announce},
		"wait, a run that died": {from: Wait, again: true, with: func(t *testing.T, b *bench, l *life) {
			b.other(t, l).begin(t)
		}, want: Prepare},
		"wait, a run that died with its result stored": {from: Wait, again: true, with: func(t *testing.T, b *bench, l *life) {
			b.other(t, l).begin(t).publish(t, time.Now())
		}, want: Announce},
		"wait, a result that may have been passed over": {from: Wait, again: true, with: func(t *testing.T, b *bench, l *life) {
			o := b.other(t, l).begin(t)
			o.unsure = true
			o.publish(t, time.Now())
			b.foreign(t, time.Now().Add(time.Second), "green\n{}")
		}, want: Prepare},
		"wait, a twin's result, whose message may be settled, and our own run that died": {from: Wait, again: true,
			with: func(t *testing.T, b *bench, l *life) {
				twin := b.other(t, l)
				twin.content.Doubtful = true
				twin.begin(t).publish(t, time.Now()).end(t)
				b.other(t, l).begin(t).end(t)
			}, want: Prepare},
		"wait, two results of one request, and the store away when one is removed": {from: Wait, again: true,
			with: func(t *testing.T, b *bench, l *life) {
				o := b.other(t, l).begin(t).publish(t, time.Now().Add(-time.Minute))
				o.publish(t, time.Now()).end(t)
				failed := false
				b.store.hook(func(call, _ string) error {
					if call == "delete" && !failed {
						failed = true
						return store.ErrUnavailable
					}
					return nil
				})
			}, want: Announce},
		"wait, only a result whose message may be settled": {from: Wait, again: true, with: func(t *testing.T, b *bench, l *life) {
			o := b.other(t, l)
			o.content.Doubtful = true
			o.begin(t).publish(t, time.Now()).end(t)
		}, want: Announce},
		"wait, a run that was ended": {from: Wait, again: true, stop: 15 * time.Second, with: func(t *testing.T, b *bench, l *life) {
			b.other(t, l).begin(t).end(t)
		}, want: Prepare},
		"wait, a run that lives": {from: Wait, again: true, stop: 10 * time.Minute, with: func(t *testing.T, b *bench, l *life) {
			b.other(t, l).begin(t).beat(t, time.Hour)
		}, want: Handback},
		"wait, a run that lives for a while, then its result": {from: Wait, again: true, with: func(t *testing.T, b *bench, l *life) {
			o := b.other(t, l).begin(t).beat(t, time.Hour)
			time.AfterFunc(10*time.Minute, func() { o.publish(t, time.Now()).end(t) })
		}, want: Announce},
		"wait, a run that lives for a while, for another message": {from: Wait, again: true, with: func(t *testing.T, b *bench, l *life) {
			o := b.other(t, l).begin(t).beat(t, time.Hour)
			time.AfterFunc(10*time.Minute, func() { o.publish(t, time.Now()).settle(t) })
		}, want: Prepare},
		"wait, somebody who waits himself": {from: Wait, again: true, stop: 15 * time.Second, with: func(t *testing.T, b *bench, l *life) {
			o := b.other(t, l)
			o.content.Waiting = true
			o.begin(t).beat(t, time.Hour)
		}, want: Prepare},
		"wait, what this worker did before its restart": {from: Wait, again: true, stop: 15 * time.Second, with: func(t *testing.T, b *bench, l *life) {
			o := b.other(t, l)
			o.content.Worker = l.state.worker
			o.begin(t)
		}, want: Prepare},
		"wait, a lease that is damaged": {from: Wait, again: true, with: func(t *testing.T, b *bench, l *life) {
			b.other(t, l).begin(t).write(t, "{")
		}, want: Prepare},
		"wait, taken away": {from: Wait, again: true, with: func(t *testing.T, b *bench, l *life) {
			b.other(t, l).begin(t).beat(t, time.Hour)
			time.AfterFunc(time.Minute, l.delivery.Message.(*fakeMessage).lose)
		}, want: Handback},
		"wait, leases cannot be read for a while": {from: Wait, again: true, with: func(t *testing.T, b *bench, l *life) {
			b.other(t, l).begin(t).publish(t, time.Now()).end(t)
			back := time.Now().Add(time.Hour)
			b.store.hookLeases(func(string, string) error {
				if time.Now().Before(back) {
					return store.ErrUnavailable
				}
				return nil
			})
		}, want: Announce},
		"accept, new, and an equal one just done": {from: Accept, with: func(t *testing.T, b *bench, _ *life) {
			b.foreign(t, time.Now(), body("green"))
		}, want: Prepare},
		"wait, the store away for ever": {from: Wait, again: true, stop: time.Hour, with: func(_ *testing.T, b *bench, _ *life) {
			away(b, "list", 1000*time.Hour)
		}, want: Handback},

		"accept, not to be run":        {from: Accept, body: "declined", with: nothing, want: Decline},
		"accept, again, not to be run": {from: Accept, again: true, body: "declined", with: nothing, want: Wait},
		"wait, not to be run":          {from: Wait, again: true, body: "declined", with: nothing, want: Decline},
		"decline":                      {from: Decline, body: "declined", with: nothing, want: Collect},
		"decline, must stop": {from: Decline, body: "declined", stop: time.Hour, with: func(_ *testing.T, _ *bench, l *life) {
			l.state.runs = "/dev/null"
		}, want: Handback},
		"accept, cancelled":            {from: Accept, with: ordered(Abort), want: Abort},
		"accept, requeued":             {from: Accept, with: ordered(Handback), want: Handback},
		"accept, malformed, cancelled": {from: Accept, body: "no package\n{}", with: ordered(Abort), want: Reject},
		"wait, cancelled": {from: Wait, again: true, with: func(t *testing.T, b *bench, l *life) {
			b.foreign(t, time.Now(), body("green")) // found when ours is about to be stored: see TestCancelledTooLate
			ordered(Abort)(t, b, l)
		}, want: Abort},
		"prepare, cancelled": {from: Prepare, with: ordered(Abort), want: Abort},
		"run, cancelled":     {from: Run, with: ordered(Abort), want: Abort},
		"run, requeued":      {from: Run, with: ordered(Handback), want: Handback},
		"abort": {from: Abort, with: func(t *testing.T, _ *bench, l *life) {
			l.ordered = &command{Abort, "joe"}
		}, want: Collect},
		"collect, too late": {from: Collect, with: func(t *testing.T, _ *bench, l *life) {
			if err := l.obey(command{Abort, "joe"}); !errors.Is(err, ErrTooLate) {
				t.Errorf("a command: %v", err)
			}
		}, want: Spool},

		"prepare": {from: Prepare, with: nothing, want: Run},
		"prepare, no image for a while": {from: Prepare, with: func(t *testing.T, b *bench, _ *life) {
			image := b.image(noble)
			if err := os.Remove(image); err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(time.Hour, func() { output(filepath.Dir(image), map[string]string{filepath.Base(image): "new"}) })
		}, want: Run},
		"prepare, no image at all": {from: Prepare, stop: time.Hour, with: func(t *testing.T, b *bench, _ *life) {
			if err := os.Remove(b.image(noble)); err != nil {
				t.Fatal(err)
			}
		}, want: Handback},

		"run":                    {from: Run, with: nothing, want: Collect},
		"run, must stop":         {from: Run, stop: time.Minute, with: nothing, want: Handback},
		"run, no testbed at all": {from: Run, with: func(_ *testing.T, b *bench, _ *life) { b.testbeds.script = broken }, want: Handback},

		"collect": {from: Collect, with: nothing, want: Spool},
		"collect, disk full": {from: Collect, stop: time.Hour, with: func(t *testing.T, b *bench, _ *life) {
			fullSpool(t, b, 2*time.Hour)
		}, want: Handback},
		"collect, disk full for a while": {from: Collect, with: func(t *testing.T, b *bench, _ *life) {
			fullSpool(t, b, time.Hour)
		}, want: Spool},

		"spool": {from: Spool, with: nothing, want: Store},
		"spool, must stop": {from: Spool, stop: time.Hour, with: func(t *testing.T, b *bench, _ *life) {
			fullSpool(t, b, 2*time.Hour)
		}, want: Handback},
		"spool, disk full for a while": {from: Spool, with: func(t *testing.T, b *bench, _ *life) {
			fullSpool(t, b, time.Hour)
		}, want: Store},

		"store":                       {from: Store, with: nothing, want: Announce},
		"store, away for a day":       {from: Store, with: func(_ *testing.T, b *bench, _ *life) { away(b, "put", 24*time.Hour) }, want: Announce},
		"store, no listing for a day": {from: Store, with: func(_ *testing.T, b *bench, _ *life) { away(b, "list", 24*time.Hour) }, want: Announce},
		"store, away, must stop":      {from: Store, stop: time.Hour, with: func(_ *testing.T, b *bench, _ *life) { away(b, "put", 24*time.Hour) }, want: Shelve},
		"store, never": {from: Store, with: func(_ *testing.T, b *bench, _ *life) {
			b.store.hook(func(call, _ string) error {
				if call == "put" {
					return store.ErrInvalid
				}
				return nil
			})
		}, want: Reject},

		"announce": {from: Announce, with: nothing, want: Ack},
		"announce, no session for a day": {from: Announce, with: func(_ *testing.T, b *bench, _ *life) {
			b.broker.withdraw(b.session)
			time.AfterFunc(24*time.Hour, func() { b.broker.lend(b.session) })
		}, want: Ack},
		"announce, refused for a day": {from: Announce, with: func(_ *testing.T, b *bench, _ *life) {
			b.session.fail(errors.New("refused"))
			time.AfterFunc(24*time.Hour, func() { b.session.fail(nil) })
		}, want: Ack},
		"announce, no session, must stop": {from: Announce, stop: time.Hour, with: func(_ *testing.T, b *bench, _ *life) {
			b.broker.withdraw(b.session)
		}, want: Shelve},

		"ack":                      {from: Ack, with: nothing, want: End},
		"ack, the session is gone": {from: Ack, with: func(_ *testing.T, _ *bench, l *life) { l.delivery.Message.(*fakeMessage).lose() }, want: End},
		"reject":                   {from: Reject, with: nothing, want: End},
		"handback":                 {from: Handback, with: nothing, want: End},
		"shelve":                   {from: Shelve, with: nothing, want: End},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, passes, func(s *Settings) { s.Policy = refusals{"declined": {"why", "unknown"}} })
				text := test.body
				if text == "" {
					text = body("green")
				}
				d, _ := deliver(text)
				d.Redelivered = test.again
				l := b.newLife(d, b.state)
				defer l.leave(t.Context())
				if test.from != Reject && test.from != Handback && test.from != Shelve && test.from != Abort {
					until(t.Context(), l, test.from)
				}
				test.with(t, b, l)
				ctx := t.Context()
				if test.stop > 0 {
					ctx = stopAfter(t, test.stop)
				}
				if got := l.step(ctx, test.from); got != test.want {
					t.Errorf("from %s to %s, want %s; the log:\n%s", test.from, got, test.want, b.logged)
				}
			})
		})
	}
}

// broken is a machine on which no test can be run.
func broken(context.Context, testbed.Job) (testbed.Outcome, error) {
	return testbed.Outcome{}, errors.New("no namespaces")
}

// TestAttempts: which exit codes are the package's, and which are tried again.
func TestAttempts(t *testing.T) {
	t.Parallel()
	type end = testbed.Outcome
	unsound := errors.New("the index cannot be fetched")
	const began = "autopkgtest [12:00:00]: test smoke: [-----------------------\n"
	for name, test := range map[string]struct {
		ends     []end // of the attempts, the last one repeated
		attempts int
		stored   int
		canary   []error // of the times that it is asked, the last one repeated
		log      string
	}{
		"erroneous package, the testbed is not sound":       {ends: []end{{ExitCode: 12}}, attempts: 3, stored: 16, canary: []error{unsound}},
		"erroneous package, some skipped, not sound":        {ends: []end{{ExitCode: 14}}, attempts: 3, stored: 16, canary: []error{unsound}},
		"erroneous package, not sound for a while":          {ends: []end{{ExitCode: 12}}, attempts: 2, stored: 12, canary: []error{unsound, nil}},
		"a test fails, not sound":                           {ends: []end{{ExitCode: 4}}, attempts: 1, stored: 4, canary: []error{unsound}, log: began},
		"no test began, sound":                              {ends: []end{{ExitCode: 4}}, attempts: 1, stored: 4, canary: []error{nil}},
		"no test began, not sound":                          {ends: []end{{ExitCode: 4}}, attempts: 3, stored: 16, canary: []error{unsound}},
		"no test began, some skipped, not sound, then well": {ends: []end{{ExitCode: 6}, {ExitCode: 0}}, attempts: 2, stored: 0, canary: []error{unsound}},
		"too long, not sound":                               {ends: []end{{ExitCode: 143, TimedOut: true}}, attempts: 1, stored: 4, canary: []error{unsound}},
		"passes, not sound":                                 {ends: []end{{ExitCode: 0}}, attempts: 1, stored: 0, canary: []error{unsound}},

		"pass":                            {ends: []end{{ExitCode: 0}}, attempts: 1, stored: 0},
		"a test fails":                    {ends: []end{{ExitCode: 4}}, attempts: 1, stored: 4},
		"no tests":                        {ends: []end{{ExitCode: 8}}, attempts: 1, stored: 8},
		"erroneous package":               {ends: []end{{ExitCode: 12}}, attempts: 1, stored: 12},
		"testbed fails for good":          {ends: []end{{ExitCode: 16}}, attempts: 3, stored: 16},
		"testbed fails once":              {ends: []end{{ExitCode: 16}, {ExitCode: 4}}, attempts: 2, stored: 4},
		"crash of autopkgtest":            {ends: []end{{ExitCode: 1}}, attempts: 3, stored: 16},
		"killed":                          {ends: []end{{ExitCode: 137}, {ExitCode: 143}, {ExitCode: 0}}, attempts: 3, stored: 0},
		"killed for good":                 {ends: []end{{ExitCode: 137}}, attempts: 3, stored: 16},
		"unexpected":                      {ends: []end{{ExitCode: 20, Duration: time.Second}}, attempts: 3, stored: 20},
		"a request that cannot be served": {ends: []end{{ExitCode: 20}}, attempts: 1, stored: 20},
		"longer than the limit":           {ends: []end{{ExitCode: 143, TimedOut: true}}, attempts: 1, stored: 4},
		"more than a limit":               {ends: []end{{ExitCode: 137, Exceeded: "memory limit of 1 GiB"}}, attempts: 1, stored: 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, nil)
				b.testbeds.script = func(_ context.Context, job testbed.Job) (testbed.Outcome, error) {
					output(job.OutputDir, map[string]string{"log": filepath.Base(job.OutputDir) + "\n" + test.log})
					return test.ends[min(b.testbeds.count(), len(test.ends))-1], nil
				}
				asked := 0
				b.testbeds.canary = func() error {
					if test.canary == nil {
						return nil
					}
					asked++
					return test.canary[min(asked, len(test.canary))-1]
				}
				d, m := deliver(body("green"))
				b.newLife(d, b.state).live(t.Context())
				if got := b.testbeds.count(); got != test.attempts {
					t.Errorf("%d attempts, want %d", got, test.attempts)
				}
				completions := b.session.completions(t)
				if len(completions) != 1 || completions[0].ExitCode != test.stored || m.settled() != acked {
					t.Errorf("completions %+v, settled %v; want one with exit code %d, acknowledged", completions, m.settled(), test.stored)
				}
			})
		})
	}
}

// The bound on machines that cannot run anything: the request is kept for minutes, then somebody else may have it.
func TestBrokenMachineBurnsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, broken)
		d, m := deliver(body("green"))
		began := time.Now()
		b.newLife(d, b.state).live(t.Context())
		if held := time.Since(began); held < 10*time.Minute {
			t.Errorf("given back after %s: the next worker would get it at once, again and again", held)
		}
		if m.settled() != requeued || len(b.stored(t, "green")) != 0 || len(b.session.sent("testcomplete.fanout")) != 0 {
			t.Errorf("settled %v, stored %v; want it requeued and nothing published", m.settled(), b.stored(t, "green"))
		}
		if left := b.folders(t); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

// The order in which a result becomes visible, and the acknowledgement after all of it.
func TestAckComesLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		d, m := deliver(body("green"))
		var mu sync.Mutex
		var order []string
		b.store.hook(func(call, object string) error {
			mu.Lock()
			defer mu.Unlock()
			if call == "put" {
				order = append(order, filepath.Base(object))
				if filepath.Base(object) == result.TarObject {
					for _, beside := range order[:len(order)-1] {
						body, _, err := b.store.Store.Get(t.Context(), "autopkgtest-noble", filepath.Join(filepath.Dir(object), beside))
						if err != nil {
							t.Errorf("%s is stored before %s is there: %v", object, beside, err)
							continue
						}
						body.Close()
					}
				}
				if m.settled() != unsettled || len(b.session.sent("testcomplete.fanout")) != 0 {
					t.Errorf("before %s was stored: settled %v, announced %v", object, m.settled(), b.session.sent("testcomplete.fanout"))
				}
			}
			return nil
		})
		b.newLife(d, b.state).live(t.Context())
		slices.Sort(order[:max(len(order)-1, 0)]) // the first two go side by side
		if diff := cmp.Diff([]string{"artifacts.tar.gz", "log.gz", "result.tar"}, order); diff != "" {
			t.Errorf("order of upload (-want +got):\n%s", diff)
		}
		if m.settled() != acked || len(b.session.completions(t)) != 1 {
			t.Errorf("settled %v, announced %v", m.settled(), b.session.completions(t))
		}
		if left := b.folders(t); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}
