package run

import (
	"errors"
	"strings"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
)

// fakeRequests is a worker with one request in work.
type fakeRequests struct {
	has  string
	err  error
	done []string
}

func (f *fakeRequests) Running() []Running { return []Running{{ID: f.has}} }

func (f *fakeRequests) Cancel(handle, by string) error {
	f.done = append(f.done, "cancel "+handle+" by "+by)
	return f.err
}

func (f *fakeRequests) Requeue(handle, by string) error {
	f.done = append(f.done, "requeue "+handle+" by "+by)
	return f.err
}

func TestObey(t *testing.T) {
	t.Parallel()
	const handle = "20261125-152251-ab12cd34"
	late := errors.New("its result is being stored")
	for name, test := range map[string]struct {
		order queue.Order
		err   error
		want  queue.Answer
		done  string
	}{
		"cancel": {
			queue.Order{Command: queue.Command{Verb: queue.Cancel, Handle: handle}, By: "joe"}, nil,
			queue.Answer{Handle: handle, Known: true, OK: true}, "cancel " + handle + " by joe",
		},
		"requeue": {
			queue.Order{Command: queue.Command{Verb: queue.Requeue, Handle: handle}, By: "joe"}, nil,
			queue.Answer{Handle: handle, Known: true, OK: true}, "requeue " + handle + " by joe",
		},
		"too late": {
			queue.Order{Command: queue.Command{Verb: queue.Cancel, Handle: handle}, By: "joe"}, late,
			queue.Answer{Handle: handle, Known: true, Error: late.Error()}, "cancel " + handle + " by joe",
		},
		"somebody else's": {
			queue.Order{Command: queue.Command{Verb: queue.Cancel, Handle: "other"}, By: "joe"}, nil,
			queue.Answer{Handle: "other"}, "",
		},
		"not to be obeyed": {
			queue.Order{Command: queue.Command{Verb: queue.Cancel, Handle: handle}, By: "joe", Err: errors.New("no")}, nil,
			queue.Answer{Handle: handle, Error: "no"}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, passes)
			b.name = "lab-1"
			test.want.Worker = "lab-1"
			requests := &fakeRequests{has: handle, err: test.err}
			if got := b.obey(test.order, requests); got != test.want {
				t.Errorf("answered %+v, want %+v", got, test.want)
			}
			if got := strings.Join(requests.done, ", "); got != test.done {
				t.Errorf("done %q, want %q", got, test.done)
			}
		})
	}
}
