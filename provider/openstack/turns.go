package openstack

import "sync"

// Turns has those who work on a thing of the same name take turns. The zero value is ready.
type Turns struct {
	mu    sync.Mutex
	locks map[string]*sync.Mutex
}

// Take waits for the turn, and returns how to end it.
func (t *Turns) Take(name string) (end func()) {
	t.mu.Lock()
	if t.locks == nil {
		t.locks = map[string]*sync.Mutex{}
	}
	lock := t.locks[name]
	if lock == nil {
		lock = new(sync.Mutex)
		t.locks[name] = lock
	}
	t.mu.Unlock()
	lock.Lock()
	return lock.Unlock
}
