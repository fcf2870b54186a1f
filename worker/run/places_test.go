package run

import "testing"

// busy is how many places are taken.
func (p *places) busy() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}

// shut reports whether no place may be reserved, however many are free.
func (p *places) shut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	p := newPlaces(3)
	if got := p.reserve(2); got != 2 {
		t.Fatalf("reserved %d of 2", got)
	}
	if got := p.reserve(2); got != 1 {
		t.Errorf("reserved %d of the last one", got)
	}
	if p.seat() {
		t.Error("a seat where there is none")
	}
	changed := p.changes()
	p.free(1)
	select {
	case <-changed:
	default:
		t.Error("nobody is told of a place that is free")
	}
	// A request that is held without a place goes first.
	p.set(3, 1, false)
	if got := p.reserve(1); got != 0 {
		t.Errorf("reserved %d before the one that waits", got)
	}
	if !p.seat() {
		t.Error("no seat for the one that waits")
	}
	p.set(3, 0, true)
	p.free(2)
	if got := p.reserve(1); got != 0 || p.seat() || !p.shut() {
		t.Errorf("reserved %d while nothing may be", got)
	}
	// Fewer slots than are in use: nothing until enough are given back.
	p.set(1, 0, false)
	if got := p.reserve(9); got != 0 {
		t.Errorf("reserved %d of one slot, which is in use", got)
	}
	p.free(1)
	if got := p.reserve(9); got != 1 || p.busy() != 1 {
		t.Errorf("reserved %d of one free slot, %d in use", got, p.busy())
	}
}
