// Package plan makes the plan of a round of chaos from a seed: which requests are made when, how the tests of each end, and
// what is broken when and for how long. The same seed and the same options give the same plan, on every machine.
//
// It does nothing; the command above it does what a plan says. Start reading at New.
package plan

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Options are what a plan depends on beside its seed.
type Options struct {
	Requests int           // valid ones; a few malformed ones come on top
	Storm    time.Duration // how long things break
	Machines int           // worker processes
	Faults   int           // at least; every kind and every state comes up at least once
	Wipe     bool          // a killed machine may lose its disk
}

// Plan is what happens in one round. All times are counted from the round's begin.
type Plan struct {
	Seed     uint64
	Options  Options
	Requests []Request // by time
	Faults   []Fault   // by time
}

// stream keeps the parts of a plan apart: another request more does not change the faults.
func stream(seed, part uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, part)) }

// New makes the plan of a seed.
func New(seed uint64, o Options) Plan {
	return Plan{Seed: seed, Options: o, Requests: requests(stream(seed, 1), o), Faults: faults(stream(seed, 2), o)}
}

// between is a duration from low to high.
func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low)+1)).Truncate(time.Millisecond)
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func sortByTime[T any](list []T, at func(T) time.Duration) {
	slices.SortStableFunc(list, func(a, b T) int { return int(at(a) - at(b)) })
}

// EarlyAck is a plan for a worker that acknowledges too early: tests that take a while, and kills in the middle of them.
func EarlyAck(seed uint64, o Options) Plan {
	p := New(seed, o)
	p.Requests = slices.DeleteFunc(p.Requests, func(q Request) bool { return q.Malformed != "" })
	for i := range p.Requests {
		p.Requests[i].Outcome = Outcome{Kind: Pass, Took: 3 * time.Second, Size: 100}
	}
	p.Faults = nil
	for n := range o.Machines {
		at := o.Storm * time.Duration(n+1) / time.Duration(o.Machines+1)
		p.Faults = append(p.Faults, Fault{Kind: KillWorker, At: at, Machine: n, State: "run", Delay: time.Second})
	}
	return p
}
