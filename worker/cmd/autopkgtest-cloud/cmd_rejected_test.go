package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
)

// rejection is a request as a worker has kept it.
func rejection(body string) queue.Rejected {
	return queue.Rejected{
		Body: []byte(body), Queue: "debci-noble-amd64", Reason: "no package", Worker: "lab-1",
		Time: time.Date(2026, 11, 25, 15, 22, 51, 0, time.UTC),
	}
}

func TestSettleRejected(t *testing.T) {
	t.Parallel()
	green, blue := rejection("green\n{"), rejection("blue\n{")
	foreign := rejection("red\n{")
	foreign.Queue = "complete-listener"
	g, b, r := green.ID(), blue.ID(), foreign.ID()
	for name, test := range map[string]struct {
		requeue, drop []string
		failAt        int // the publish that fails
		stale         bool
		want          string // what happens, in order
		outcomes      string
		err           []string
		code          error
	}{
		"put back":                 {requeue: []string{g}, want: "publish green, remove green", outcomes: "requeued"},
		"dropped":                  {drop: []string{b}, want: "remove blue", outcomes: "dropped"},
		"some of each":             {requeue: []string{b}, drop: []string{g, r}, want: "remove green, publish blue, remove blue, remove red", outcomes: "dropped requeued dropped"},
		"the second of two equals": {drop: []string{g + "-2"}, want: "remove green", outcomes: "dropped"},
		"both of two equals":       {requeue: []string{g, g + "-2"}, want: "publish green, remove green, publish green, remove green", outcomes: "requeued requeued"},
		"unknown":                  {requeue: []string{g}, drop: []string{"nonsense"}, err: []string{"nothing was done", "nonsense"}, code: errUnknownRejected},
		"to no request queue":      {requeue: []string{g, r}, err: []string{"nothing was done", r, `"complete-listener"`}, code: errNoRequestQueue},
		"not confirmed": {requeue: []string{g, b}, failAt: 2, want: "publish green, remove green, publish blue", outcomes: "requeued ",
			err: []string{"put " + b + " back", "still here"}, code: queue.ErrUnconfirmed},
		"not removed":      {requeue: []string{g}, stale: true, want: "publish green, remove green", outcomes: "requeued", err: []string{g + " is in debci-noble-amd64 again"}, code: queue.ErrStale},
		"not dropped":      {drop: []string{g}, stale: true, want: "remove green", outcomes: "", err: []string{"drop " + g}, code: queue.ErrStale},
		"both at the same": {requeue: []string{g}, drop: []string{g}, err: []string{g}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chosen, err := chooseRejected(test.requeue, test.drop)
			var some []*kept
			session := &recorder{broker: broker{failAt: test.failAt}}
			if err == nil {
				var all []*kept
				for _, request := range []queue.Rejected{green, blue, green, foreign} {
					all = append(all, keep(request, func() error {
						session.note("remove", request.Body)
						if test.stale {
							return queue.ErrStale
						}
						return nil
					}))
				}
				tellApart(all)
				if some, err = pick(all, chosen); err == nil {
					err = settleRejected(t.Context(), session, some, chosen)
				}
			}
			if got := strings.Join(session.done, ", "); got != test.want {
				t.Errorf("did %s, want %s", got, test.want)
			}
			var outcomes []string
			for _, k := range some {
				outcomes = append(outcomes, k.Outcome)
			}
			if got := strings.Join(outcomes, " "); got != test.outcomes {
				t.Errorf("outcomes %q, want %q", got, test.outcomes)
			}
			if (err == nil) != (len(test.err) == 0) || test.code != nil && !errors.Is(err, test.code) {
				t.Errorf("error %v, want %v", err, test.code)
			}
			if err != nil {
				contains(t, "error", err.Error(), test.err...)
			}
		})
	}
}

// recorder notes down the order of what is done.
type recorder struct {
	broker
	done []string
}

func (r *recorder) note(what string, body []byte) {
	pkg, _, _ := strings.Cut(string(body), "\n")
	r.done = append(r.done, what+" "+pkg)
}

func (r *recorder) Publish(ctx context.Context, exchange, key string, body []byte, persistent bool) error {
	if key != "debci-noble-amd64" {
		return fmt.Errorf("published to %s", key)
	}
	r.note("publish", body)
	return r.broker.Publish(ctx, exchange, key, body, persistent)
}

func TestPrintRejected(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	long := rejection("green\n{\"ppas\": [\"joe:S3KRIT@joe/private\"],\x1b[2J " + strings.Repeat("x", 1000))
	long.Reason = "ppas: \"joe:S3KRIT@joe/private\" needs swiftuser " + strings.Repeat("y", 1000)
	bare := queue.Rejected{Body: []byte("\xff")}
	all := []*kept{keep(long, nil), keep(bare, nil)}
	if err := f.app.printRejected(all); err != nil {
		t.Fatal(err)
	}
	out := f.out.String()
	contains(t, "output", out, "ID ", long.ID(), "kept", "2026-11-25T15:22:51Z", "debci-noble-amd64", "***@joe/private", bare.ID()+"  kept     -")
	for line := range strings.Lines(out) {
		if len([]rune(line)) > 250 || strings.Contains(line, "\x1b") || !utf8.ValidString(line) {
			t.Errorf("a line of %d characters: %q", len([]rune(line)), line)
		}
	}
	if strings.Contains(out, "S3KRIT") {
		t.Errorf("a password:\n%s", out)
	}

	f.out.Reset()
	f.app.json = true
	if err := f.app.printRejected(all); err != nil {
		t.Fatal(err)
	}
	var read []kept
	if err := json.Unmarshal(f.out.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	if len(read) != 2 || read[0].Body != string(long.Body) || read[0].Reason != long.Reason || !read[0].Rejected.Equal(long.Time) || !read[1].Rejected.IsZero() {
		t.Errorf("JSON: %+v", read)
	}
	f.out.Reset()
	if err := f.app.printRejected(nil); err != nil || strings.TrimSpace(f.out.String()) != "[]" {
		t.Errorf("nothing, in JSON: %v, %q", err, &f.out)
	}
}

func TestRejectedTrouble(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		queue  bool
		getErr error
		line   []string
		code   int
		reason string
	}{
		"not deployed":    {code: exitUnavailable, reason: "autopkgtest_broker"},
		"no right":        {queue: true, getErr: fmt.Errorf("take: %w", queue.ErrRefused), code: exitRefused, reason: "role operator"},
		"nothing to drop": {queue: true, line: []string{"--drop", "1f2e3d4c5b6a"}, code: exitUnavailable, reason: "nothing was done"},
		"a word too many": {queue: true, line: []string{"green"}, code: exitUsage, reason: "green"},
		"two ways":        {queue: true, line: []string{"--drop=a", "--requeue=a"}, code: exitUsage, reason: "a is to be put back, and to be dropped"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			f.broker.queues[queue.RejectedQueue], f.broker.ready, f.broker.getErr = test.queue, 1, test.getErr
			f.run(t, test.code, append([]string{"autopkgtest-cloud", "rejected"}, test.line...)...)
			contains(t, "message", f.err.String(), test.reason)
		})
	}
	f := newFixture(t, nil)
	f.broker.queues[queue.RejectedQueue] = true
	f.run(t, 0, "autopkgtest-cloud", "rejected")
	if diff := cmp.Diff("ID  OUTCOME  REJECTED  QUEUE  REASON  REQUEST\n", f.out.String()); diff != "" {
		t.Errorf("an empty queue (-want +got):\n%s", diff)
	}
}
