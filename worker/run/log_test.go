package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lease"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// ofTheWorker are the messages that are about no single request.
var ofTheWorker = []string{
	"draining: no new test begins",
	"drain timeout: killing the tests that still run",
	"results of the worker before this one wait in the spool",
}

// logLines reads a log in JSON.
func logLines(t *testing.T, text string) (lines []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		lines = append(lines, fields)
	}
	return lines
}

// TestLogOfLives walks the logs of lives of every kind: each line about a request says which, by release, arch, package and
// run, so that one request is followed through a log of thousands.
func TestLogOfLives(t *testing.T) {
	t.Parallel()
	handle := func(b *bench) string {
		time.Sleep(time.Second)
		return b.Running()[0].ID
	}
	for name, test := range map[string]struct {
		script func(context.Context, testbed.Job) (testbed.Outcome, error)
		body   string
		again  bool
		stop   time.Duration
		with   func(t *testing.T, b *bench) // before the request comes
		then   func(t *testing.T, b *bench) // when it runs
		says   []string                     // messages that must be there: otherwise another story is told
	}{
		"passes":               {says: []string{"request accepted", "autopkgtest ended", "result stored", "request done"}},
		"testbeds fail":        {script: ends(16), says: []string{"autopkgtest ended"}},
		"testbeds are unsound": {script: ends(12), with: func(_ *testing.T, b *bench) { b.testbeds.canary = func() error { return errors.New("no mirror") } }, says: []string{"the result is not the package's: the testbed's canary fails"}},
		"cannot be run":        {script: broken, says: []string{"the tests could not be run", "request given back to its queue, nothing published"}},
		"not to be run":        {body: "declined", says: []string{"the request is not run"}},
		"malformed":            {body: "green\n{", says: []string{"request rejected: it can never be run", "the rejected request is kept"}},
		"malformed, no broker": {body: "green\n{", with: func(_ *testing.T, b *bench) { b.broker.withdraw(b.session) }, says: []string{"a rejected request could not be published; it is kept in a folder until it can"}},
		"waits for another's":  {again: true, with: func(t *testing.T, b *bench) { b.foreign(t, time.Now(), body("green")) }, says: []string{"the request's result is in the store already"}},
		"store away":           {with: func(_ *testing.T, b *bench) { away(b, "put", time.Hour) }, says: []string{"storing the result failed; trying again until it succeeds", "storing the result succeeded"}},
		"leases away": {with: func(_ *testing.T, b *bench) {
			b.store.hookLeases(func(string, string) error { return errors.New("away") })
			time.AfterFunc(time.Hour, func() { b.store.hookLeases(nil) })
		}, says: []string{"the lease of the request was not written"}},
		"shelved": {stop: 4 * time.Minute, with: func(_ *testing.T, b *bench) { away(b, "put", time.Hour) }, says: []string{"the result stays in the spool for the next start of the worker"}},
		"killed":  {stop: time.Minute, says: []string{"request given back to its queue, nothing published"}},
		"broker refuses": {stop: 10 * time.Minute, with: func(_ *testing.T, b *bench) { b.session.fail(errors.New("refused")) },
			says: []string{"announcing the result failed; trying again until it succeeds", "status message not sent"}},
		"cancelled": {then: func(_ *testing.T, b *bench) {
			b.obey(queue.Order{Command: queue.Command{Verb: queue.Cancel, Handle: handle(b)}, By: "joe"}, b)
		}, says: []string{"an operator's command", "an operator ends the request"}},
		"cancelled twice": {then: func(_ *testing.T, b *bench) {
			order := queue.Order{Command: queue.Command{Verb: queue.Cancel, Handle: handle(b)}, By: "joe"}
			b.obey(order, b)
			b.obey(order, b)
		}, says: []string{"an operator's command cannot be done"}},
		"comes back": {then: func(_ *testing.T, b *bench) {
			time.Sleep(time.Second)
			b.mu.Lock()
			for l := range b.lives {
				l.delivery.Message.(*fakeMessage).lose()
			}
			b.mu.Unlock()
			d, _ := redeliver(body("green"))
			b.incoming <- d
		}, says: []string{"a request came back to the run that already has it"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				script := test.script
				if script == nil {
					script = passes
				}
				named := func(ctx context.Context, job testbed.Job) (testbed.Outcome, error) {
					if !lease.Handle.MatchString(job.Handle) {
						t.Errorf("testbeds log of the run %q", job.Handle)
					}
					return script(ctx, job)
				}
				b := newBench(t, named, func(s *Settings) { s.Policy = refusals{"declined": {"why", "unknown"}} })
				b.log = slog.New(slog.NewJSONHandler(b.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
				b.register()
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
					time.AfterFunc(2*time.Hour, b.Drain)
				}
				ended := b.dispatching(ctx)
				d, _ := deliver(text)
				d.Redelivered = test.again
				b.incoming <- d
				if test.then != nil {
					test.then(t, b)
				}
				<-ended
				b.leases.Wait()
				inLog(t, b.logged.String(), strings.SplitN(text, "\n", 2)[0], test.says...)
			})
		})
	}
}

// inLog looks at each line about a request.
func inLog(t *testing.T, log, pkg string, says ...string) {
	t.Helper()
	for _, line := range logLines(t, log) {
		message, _ := line["msg"].(string)
		says = slices.DeleteFunc(says, func(want string) bool { return want == message })
		if slices.Contains(ofTheWorker, message) {
			continue
		}
		run, _ := line["run"].(string)
		if line["release"] != "noble" || line["arch"] != "amd64" || line["package"] != pkg || !lease.Handle.MatchString(run) {
			t.Errorf("%q does not say which request: release %v, arch %v, package %v, run %v", message, line["release"], line["arch"],
				line["package"], line["run"])
		}
	}
	if len(says) > 0 {
		t.Errorf("the log does not say %q:\n%s", says, log)
	}
}

// The next start of a worker speaks of the same runs by the same names.
func TestLogAfterARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		away(b, "put", time.Hour)
		ctx := stopAfter(t, 4*time.Minute)
		ended := b.dispatching(ctx)
		d, _ := deliver(body("green"))
		b.incoming <- d
		<-ended
		b.leases.Wait()
		stayed := names(t, b.spool.folder)
		if len(stayed) != 1 {
			t.Fatalf("in the spool: %v", stayed)
		}
		next := b.restarted(t, passes)
		logged := new(lockedWriter)
		next.log = slog.New(slog.NewJSONHandler(logged, nil))
		next.register()
		time.Sleep(2 * time.Hour)
		ended = next.dispatching(t.Context())
		time.Sleep(time.Minute)
		next.Drain()
		<-ended
		next.leases.Wait()
		inLog(t, logged.String(), "green", "result stored")
		for _, line := range logLines(t, logged.String()) {
			if run, there := line["run"]; there && run != stayed[0] {
				t.Errorf("%v is of run %v, want %s", line["msg"], run, stayed[0])
			}
		}
	})
}

// What a dead worker has left is spoken of by the names of its runs.
func TestLogOfLeftovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, passes)
		b.log = slog.New(slog.NewJSONHandler(b.logged, nil))
		b.register()
		d, _ := deliver(body("green"))
		l := b.newLife(d, b.state)
		if _, err := l.lease.Write(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := b.state.makeRun(l.id); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(b.spool.path("20261122-000000-damaged0"), 0o700); err != nil {
			t.Fatal(err)
		}
		b.clearLeftovers(t.Context(), b.state)
		b.leases.EndDead(t.Context(), b.leases.Dead(b.spools))
		b.revive(b.state)
		said := map[string]map[string]any{}
		for _, line := range logLines(t, b.logged.String()) {
			message, _ := line["msg"].(string)
			said[message] = line
		}
		for message, want := range map[string]map[string]any{
			"removed the folder of a dead worker's run":                                          {"run": l.id},
			"ended the lease of a dead worker's run":                                             {"run": l.id, "release": "noble", "arch": "amd64", "package": "green"},
			"a result in the spool cannot be used; its request will come again and be run again": {"run": "20261122-000000-damaged0"},
		} {
			line, there := said[message]
			if !there {
				t.Errorf("the log does not say %q:\n%s", message, b.logged)
			}
			for key, value := range want {
				if line[key] != value {
					t.Errorf("%q: %s is %v, want %v", message, key, line[key], value)
				}
			}
		}
	})
}

// A body that is no request stands for the package in the log: what looks like a password in it does not.
func TestLogWithoutSecrets(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	d, _ := deliver(`green {"ppas": ["joe:S3KRIT@joe/private"]}`)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", d.attributes()...)
	if strings.Contains(out.String(), "S3KRIT") {
		t.Error(out.String())
	}
}
