package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
)

const (
	handle = "20261125-152251-ab12cd34"
	other  = "20261125-152252-00000000"
)

func TestControl(t *testing.T) {
	t.Parallel()
	knows := func(handle, worker string) queue.Answer {
		return queue.Answer{Handle: handle, Worker: worker, Known: true, OK: true}
	}
	for name, test := range map[string]struct {
		answers []queue.Answer
		lost    bool
		askErr  error
		line    []string
		code    int
		out     []string
		reason  []string
	}{
		"done": {
			answers: []queue.Answer{{Handle: handle, Worker: "lab-1"}, knows(handle, "lab-2")},
			line:    []string{"cancel", handle}, out: []string{handle + "  lab-2   cancelled\n"},
		},
		"two of them, one named twice": {
			answers: []queue.Answer{knows(other, "lab-1"), knows(handle, "lab-2")},
			line:    []string{"requeue", handle, other, handle}, out: []string{handle + "  lab-2   requeued\n", other + "  lab-1   requeued\n"},
		},
		"one of two is unknown": {
			answers: []queue.Answer{{Handle: other, Worker: "lab-2"}, {Handle: other, Worker: "lab-1"}, knows(handle, "lab-2")},
			line:    []string{"cancel", "--timeout", "10ms", handle, other}, code: exitUnavailable,
			out:    []string{handle + "  lab-2   cancelled\n", other + "  -       unknown\n"},
			reason: []string{"cancel " + other, "no running test has the handle", "within 10ms", "lab-1, lab-2"},
		},
		"the worker cannot": {
			answers: []queue.Answer{{Handle: handle, Worker: "lab-1", Known: true, Error: "its result is\x1b[2J stored"}},
			line:    []string{"cancel", handle}, code: exitInternal,
			out: []string{"failed: its result is [2J stored"}, reason: []string{"lab-1", "its result is [2J stored"},
		},
		"nobody answers": {
			line: []string{"cancel", "--timeout", "10ms", handle}, code: exitTimeout,
			out: []string{"no answer"}, reason: []string{"no worker answered within 10ms"},
		},
		"no worker listens": {
			askErr: fmt.Errorf("publish: %w", queue.ErrUnrouted), line: []string{"cancel", handle},
			code: exitUnavailable, reason: []string{"no worker listens"},
		},
		"nothing is deployed": {
			askErr: fmt.Errorf("publish: %w", queue.ErrNoQueue), line: []string{"cancel", handle},
			code: exitUnavailable, reason: []string{"autopkgtest_broker"},
		},
		"a requester's account": {
			askErr: fmt.Errorf("listen: %w", queue.ErrRefused), line: []string{"cancel", handle},
			code: exitRefused, reason: []string{"test_request", "role operator"},
		},
		"the broker is lost": {
			answers: []queue.Answer{{Handle: handle, Worker: "lab-1"}}, lost: true, line: []string{"cancel", handle},
			code: exitUnavailable, reason: []string{"the broker was lost"},
		},
		"no handle":          {line: []string{"cancel"}, code: exitUsage, reason: []string{"autopkgtest-cloud running"}},
		"not a handle":       {line: []string{"requeue", "../x"}, code: exitUsage, reason: []string{"not a handle"}},
		"no time for it all": {line: []string{"requeue", "--timeout=-1s", handle}, code: exitUsage, reason: []string{"--timeout"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			f.broker.answers, f.broker.lost, f.broker.askErr = test.answers, test.lost, test.askErr
			f.run(t, test.code, append([]string{"autopkgtest-cloud"}, test.line...)...)
			contains(t, "output", f.out.String(), test.out...)
			contains(t, "message", f.err.String(), test.reason...)
			if test.code == exitUsage {
				if f.broker.commands != nil {
					t.Errorf("sent: %+v", f.broker.commands)
				}
			} else if f.broker.closed != 1 {
				t.Errorf("the session was closed %d times", f.broker.closed)
			}
		})
	}
}

func TestControlJSON(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.broker.answers = []queue.Answer{{Handle: handle, Worker: "lab-1"}, {Handle: other, Worker: "lab-1", Known: true, OK: true}}
	f.run(t, exitUnavailable, "autopkgtest-cloud", "requeue", "--json", "--timeout=10ms", handle, other)
	var got []controlOutcome
	if err := json.Unmarshal(f.out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := []controlOutcome{
		{Handle: handle, Answered: []string{"lab-1"}}, {Handle: other, OK: true, Worker: "lab-1", Answered: []string{"lab-1"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if want := []queue.Command{{Verb: queue.Requeue, Handle: handle}, {Verb: queue.Requeue, Handle: other}}; !cmp.Equal(want, f.broker.commands) {
		t.Errorf("sent: %+v", f.broker.commands)
	}
}

func TestControlInterrupted(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.runWith(t, ctx, exitInterrupted, "autopkgtest-cloud", "cancel", handle)
	if !strings.Contains(f.err.String(), "not known") {
		t.Errorf("message: %s", &f.err)
	}
}
