package run

import (
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lease"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// View is what a worker has in hand at a moment.
type View struct {
	Slots int // wanted now; fewer than Busy for a while after they were made fewer
	Busy  int // taken by a request that has no result yet

	Drains bool
	States map[State]int // requests by state, those without any left out
	Tests  map[request.Queue]int

	Queues   []request.Queue
	NotReady map[request.Queue]error // queues whose tests cannot be run now
	Waiting  int                     // queues that are not consumed, whatever the reason; all of them without a session

	Connected bool

	Spool    SpoolView
	Leases   LeaseView
	Rejected int // rejected requests that the broker did not take: they lie in a folder
	Ahead    int // packages whose results are not published, for a run id far ahead of the clock
}

// SpoolView is the part about results that wait for the store.
type SpoolView struct {
	Results int
	Limit   int
	Bytes   int64
	Oldest  time.Time // zero without results
	Full    bool      // no request is taken: the limit is reached, or there is no space
}

// LeaseView counts the leases of requests in work.
type LeaseView struct {
	Alive int // written in time
	Late  int // not written for so long that they look dead to other workers
	Lost  int // taken over or removed by another worker
}

// Look counts. It reads a folder or two and asks nobody.
func (w *Worker) Look() View {
	wanted, _ := w.current()
	v := View{
		Slots: wanted.slots, Queues: wanted.queues, States: map[State]int{}, Tests: map[request.Queue]int{},
		NotReady: map[request.Queue]error{}, Connected: w.broker.now() != nil, Rejected: w.rejects.count(),
		Ahead: len(w.Ahead()), Waiting: w.notConsumed(len(wanted.queues)),
	}
	select {
	case <-w.drain:
		v.Drains = true
	default:
	}
	for _, q := range wanted.queues {
		if err := w.testbeds.Ready(q); err != nil {
			v.NotReady[q] = err
		}
	}
	v.Spool.Results, v.Spool.Oldest = w.spool.count()
	v.Spool.Limit, v.Spool.Bytes, v.Spool.Full = w.spoolLimit(), w.spool.bytes(), w.spoolRoom() != nil
	w.mu.Lock()
	lives := make([]*life, 0, len(w.lives))
	for l := range w.lives {
		lives = append(lives, l)
	}
	w.mu.Unlock()
	for _, l := range lives {
		now := l.current()
		v.States[now]++
		if now == Run {
			v.Tests[l.delivery.Queue]++
		}
		if l.seated.Load() {
			v.Busy++
		}
		switch l.lease.Look() {
		case lease.Alive:
			v.Leases.Alive++
		case lease.Late:
			v.Leases.Late++
		case lease.Gone:
			v.Leases.Lost++
		}
	}
	return v
}

// notConsumed counts queues that are not consumed, of all.
func (w *Worker) notConsumed(all int) int {
	w.mu.Lock()
	session := w.consumed
	w.mu.Unlock()
	if session == nil {
		return all
	}
	return len(session.Waiting())
}
