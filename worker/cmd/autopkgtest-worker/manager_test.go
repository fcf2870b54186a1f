package main

import (
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/run"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

func TestInWords(t *testing.T) {
	t.Parallel()
	noble := request.Queue{Release: "noble", Architecture: "amd64"}
	huge := request.Queue{Context: request.Huge, Release: "noble", Architecture: "amd64"}
	jammy := request.Queue{Release: "jammy", Architecture: "arm64"}
	all := []request.Queue{noble, huge, jammy}
	for name, test := range map[string]struct {
		view run.View
		want string
	}{
		"idle": {run.View{Slots: 4, Queues: all, Connected: true}, "0 of 4 slots busy"},
		"starts": {
			run.View{Slots: 4, Queues: all, Waiting: 3, NotReady: map[request.Queue]error{noble: testbed.ErrOpen, huge: testbed.ErrOpen, jammy: testbed.ErrNoImage}},
			"0 of 4 slots busy; no session with the broker; no testbeds of jammy-arm64, noble-amd64",
		},
		"no testbed is proven": {
			run.View{Slots: 4, Queues: all[:1], Connected: true, Waiting: 1, NotReady: map[request.Queue]error{noble: testbed.ErrOpen}},
			"0 of 4 slots busy; no testbeds of noble-amd64",
		},
		"one release of two": {
			run.View{Slots: 4, Busy: 3, Queues: all, Connected: true, Waiting: 1, NotReady: map[request.Queue]error{jammy: testbed.ErrOpen}},
			"3 of 4 slots busy; no testbeds of jammy-arm64",
		},
		"a queue is missing": {run.View{Slots: 1, Queues: all, Connected: true, Waiting: 1}, "0 of 1 slots busy; 1 queue not consumed"},
		"store away": {
			run.View{Slots: 4, Queues: all, Connected: true, Spool: run.SpoolView{Results: 16, Limit: 16, Full: true}, Leases: run.LeaseView{Late: 16}},
			"0 of 4 slots busy; 16 results in the spool (limit 16); no request is taken: the spool is full; the store was not reached for a minute",
		},
		"for people":  {run.View{Slots: 4, Queues: all, Connected: true, Ahead: 1, Rejected: 2}, "0 of 4 slots busy; results of 1 package held back; 2 rejected requests in the folder"},
		"drains":      {run.View{Slots: 4, Busy: 1, Queues: all, Connected: true, Drains: true, Waiting: 3}, "draining, 1 request left to finish"},
		"no queues":   {run.View{Slots: 4, Connected: true}, "0 of 4 slots busy"},
		"broker away": {run.View{Slots: 4, Busy: 4, Queues: all, Waiting: 3}, "4 of 4 slots busy; no session with the broker"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := inWords(test.view); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}
