package run

import (
	"cmp"
	"slices"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// longestWait is how many picks a queue with waiting requests is passed over at most. With more queues than that in
// waiting no order can hold it; they are then served in turn.
const longestWait = 20

// chooser decides in which order queues are asked for their next request. Nobody knows which of them have one until they
// are asked, and what is asked for is taken, so it is told of each answer.
//
// The shares are kept by stride scheduling: everything that can be chosen has a pass, which grows with each request taken,
// the slower the greater its weight; the smallest is asked first. Contexts are weighted; the releases of a context and the
// architectures of a release take turns. A queue that had nothing does not save its turns up.
//
// It is not safe for use by several goroutines.
type chooser struct {
	weights  map[string]int // by context: its share in the work of a busy worker, while requests of all contexts wait
	queues   []request.Queue
	contexts map[request.Context]*share
	releases map[[2]string]*share
	each     map[request.Queue]*share
	skipped  map[request.Queue]int // picks since the queue was last asked
}

// share is one competitor among its like.
type share struct{ pass float64 }

func newChooser(queues []request.Queue, weights map[string]int) *chooser {
	c := &chooser{
		weights: weights, queues: queues, contexts: map[request.Context]*share{}, releases: map[[2]string]*share{},
		each: map[request.Queue]*share{}, skipped: map[request.Queue]int{},
	}
	for _, q := range queues {
		c.contexts[q.Context], c.releases[release(q)], c.each[q] = &share{}, &share{}, &share{}
	}
	return c
}

// release tells the releases of different contexts apart.
func release(q request.Queue) [2]string { return [2]string{string(q.Context), q.Release} }

func (c *chooser) weight(of request.Context) float64 {
	if weight := c.weights[string(of)]; weight > 0 {
		return float64(weight)
	}
	return 1
}

// order is all queues, the one that should be asked first at the front.
func (c *chooser) order() []request.Queue {
	order := slices.Clone(c.queues)
	slices.SortStableFunc(order, func(a, b request.Queue) int {
		lateA, lateB := c.skipped[a] >= longestWait, c.skipped[b] >= longestWait
		if lateA && lateB {
			return cmp.Compare(c.skipped[b], c.skipped[a])
		}
		if lateA || lateB {
			return boolOrder(lateA)
		}
		return cmp.Or(
			cmp.Compare(c.contexts[a.Context].pass, c.contexts[b.Context].pass),
			cmp.Compare(slices.Index(request.Contexts, a.Context), slices.Index(request.Contexts, b.Context)),
			cmp.Compare(c.releases[release(a)].pass, c.releases[release(b)].pass),
			cmp.Compare(a.Release, b.Release),
			cmp.Compare(c.each[a].pass, c.each[b].pass),
		)
	})
	return order
}

func boolOrder(first bool) int {
	if first {
		return -1
	}
	return 1
}

// took notes that a queue had a request, after those in empty were asked and had none.
func (c *chooser) took(q request.Queue, empty []request.Queue) {
	for _, other := range c.queues {
		c.skipped[other]++
	}
	for _, other := range empty {
		c.skipped[other] = 0
	}
	c.skipped[q] = 0
	at, in, own := c.contexts[q.Context], c.releases[release(q)], c.each[q]
	for _, other := range c.queues {
		switch {
		case other.Context != q.Context:
			if all(c.queues, empty, func(x request.Queue) bool { return x.Context == other.Context }) {
				c.contexts[other.Context].raise(at.pass)
			}
		case other.Release != q.Release:
			if all(c.queues, empty, func(x request.Queue) bool { return release(x) == release(other) }) {
				c.releases[release(other)].raise(in.pass)
			}
		case slices.Contains(empty, other):
			c.each[other].raise(own.pass)
		}
	}
	at.pass += 1 / c.weight(q.Context)
	in.pass++
	own.pass++
}

// raise keeps one that had nothing from saving up turns.
func (s *share) raise(to float64) { s.pass = max(s.pass, to) }

// all reports whether every queue of a kind is among the empty ones.
func all(queues, empty []request.Queue, kind func(request.Queue) bool) bool {
	return !slices.ContainsFunc(queues, func(q request.Queue) bool { return kind(q) && !slices.Contains(empty, q) })
}
