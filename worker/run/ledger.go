package run

import (
	"slices"
	"sync"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lease"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// ledger knows the requests that this process has in work, so that a lost session does not double them. When a session ends,
// the broker delivers all its unsettled messages again; without the ledger, those that come back to us would be run a second
// time beside the first.
//
// A delivery belongs to an entry when queue and body are equal and the entry's own message is stale. Equal requests are
// counted, not merged: each entry takes one delivery.
//
// What the ledger cannot know is told by the store, by leases and results (package lease, lookup.go): what other workers do, what this one
// did before it was restarted, and what it finished without getting rid of the message.
type ledger struct {
	mu      sync.Mutex
	entries map[lease.Identity][]*entry
}

func identify(d Delivery) lease.Identity { return lease.Identify(d.Queue.Name(), d.Body) }

// entry is one request in work.
type entry struct {
	ledger   *ledger
	handle   string // of its life
	identity lease.Identity
	queue    request.Queue
	message  Message // replaced when the request came back after a session was lost
	version  int     // counts the replacements
}

func newLedger() *ledger { return &ledger{entries: map[lease.Identity][]*entry{}} }

// open enters a delivery that is about to be worked on by the life of that handle.
func (l *ledger) open(handle string, d Delivery) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &entry{ledger: l, handle: handle, identity: identify(d), queue: d.Queue, message: d.Message}
	l.entries[e.identity] = append(l.entries[e.identity], e)
	return e
}

// claim gives a delivery to the entry that it belongs to and reports whether there is one, and of which life it is.
func (l *ledger) claim(d Delivery) (handle string, claimed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries[identify(d)] {
		if e.message.Stale() {
			e.message = d.Message
			e.version++
			return e.handle, true
		}
	}
	return "", false
}

// ack acknowledges the entry's request, whose result is safe, and takes the entry out. When the message's session is gone,
// the error is queue.ErrStale: the message comes again, to us or to somebody else, who finds the result in the store.
func (e *entry) ack() error {
	for {
		message, version := e.current()
		err := message.Ack()
		e.ledger.mu.Lock()
		if err != nil && e.version != version {
			e.ledger.mu.Unlock()
			continue // came back in the meantime
		}
		e.remove()
		e.ledger.mu.Unlock()
		return err
	}
}

// drop takes the entry out, for a request that was not finished, and returns its message.
func (e *entry) drop() Message {
	e.ledger.mu.Lock()
	defer e.ledger.mu.Unlock()
	e.remove()
	return e.message
}

func (e *entry) current() (Message, int) {
	e.ledger.mu.Lock()
	defer e.ledger.mu.Unlock()
	return e.message, e.version
}

// lost counts the requests in work whose messages the broker has taken back, by the queue that they will come from again.
func (l *ledger) lost() map[request.Queue]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	lost := map[request.Queue]int{}
	for _, list := range l.entries {
		for _, e := range list {
			if e.message.Stale() {
				lost[e.queue]++
			}
		}
	}
	return lost
}

// remove needs the ledger's lock.
func (e *entry) remove() {
	rest := slices.DeleteFunc(e.ledger.entries[e.identity], func(other *entry) bool { return other == e })
	if len(rest) == 0 {
		delete(e.ledger.entries, e.identity)
	} else {
		e.ledger.entries[e.identity] = rest
	}
}

// stale reports whether the broker has taken the request back and not given it to us again.
func (e *entry) stale() bool {
	message, _ := e.current()
	return message.Stale()
}

// contested reports whether somebody else may have had the request meanwhile: the broker took it back from us, even if it
// came to us once more.
func (e *entry) contested() bool {
	message, version := e.current()
	return version > 0 || message.Stale()
}
