package run

import "sync"

// places are a worker's slots as seen by whoever takes requests from the broker: a request is taken only when a place for
// it has been reserved, so no more requests are held than can be worked on. The dispatcher decides how many there are and
// gives them back; taking reserves.
//
// Requests that came without a place (those that came back after a lost session and turned out to be others) go first:
// while some of them wait, nothing can be reserved.
type places struct {
	mu      sync.Mutex
	slots   int
	used    int
	closed  bool // the worker drains, or the spool is full
	waiting int  // requests that are held without a place
	changed chan struct{}
}

func newPlaces(slots int) *places { return &places{slots: slots, changed: make(chan struct{})} }

// reserve takes as many free places as there are, most at the most.
func (p *places) reserve(most int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.waiting > 0 {
		return 0
	}
	return p.take(most)
}

// seat takes a place for a request that waits without one.
func (p *places) seat() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.closed && p.take(1) == 1
}

// take needs the lock.
func (p *places) take(most int) int {
	taken := min(most, max(p.slots-p.used, 0))
	p.used += taken
	return taken
}

// free gives places back.
func (p *places) free(count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= count
	p.tell()
}

// set changes how many places there are, whether any may be reserved, and how many requests wait without one.
func (p *places) set(slots, waiting int, closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slots == slots && p.waiting == waiting && p.closed == closed {
		return
	}
	p.slots, p.waiting, p.closed = slots, waiting, closed
	p.tell()
}

// tell needs the lock.
func (p *places) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// changes returns a channel that is closed at the next change. Ask for it before reserving, so that none is missed.
func (p *places) changes() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}
