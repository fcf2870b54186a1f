package run

import (
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// ledger knows the requests that this process has in work or has finished without getting rid of the message, so that a
// lost session does not double them. When a session ends, the broker delivers all its unsettled messages again; without
// the ledger, those that come back to us would be run a second time beside the first.
//
// A delivery belongs to an entry when queue and body are equal and the entry's own message is stale. Equal requests are
// counted, not merged: each entry takes one delivery.
//
// What the ledger cannot know is told by the store (lookup.go): what other workers did, and what this one did before it was
// restarted. A request that came back to another worker while its first run still goes on here is run twice, and the store
// decides whose result counts; not to run it takes a lease, on which both look.
type ledger struct {
	mu      sync.Mutex
	entries map[identity][]*entry
	ours    map[result.RunID]time.Time // run ids that we gave out, and those whose requests we acknowledged
}

// identity is what is equal when a message comes again: clients send no message id.
type identity [sha256.Size]byte

func identify(d Delivery) identity {
	hash := sha256.New()
	hash.Write([]byte(d.Queue.Name()))
	hash.Write([]byte{0})
	hash.Write(d.Body)
	return identity(hash.Sum(nil))
}

// entry is one request in work.
type entry struct {
	ledger   *ledger
	identity identity
	message  Message // replaced when the request came back after a session was lost
	version  int     // counts the replacements
	done     time.Time
	run      result.RunID // of the result, once done
}

// remembered is how long a finished request that could not be acknowledged is kept, and how long settled results are. The
// message comes back within moments, unless this worker is cut off; then another one gets it.
const remembered = 24 * time.Hour

func newLedger() *ledger {
	return &ledger{entries: map[identity][]*entry{}, ours: map[result.RunID]time.Time{}}
}

// open enters a delivery that is about to be worked on.
func (l *ledger) open(d Delivery) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget()
	e := &entry{ledger: l, identity: identify(d), message: d.Message}
	l.entries[e.identity] = append(l.entries[e.identity], e)
	return e
}

// claim gives a delivery to the entry that it belongs to and reports whether there is one. For a request that is finished
// already, this acknowledges it.
func (l *ledger) claim(d Delivery) bool {
	l.mu.Lock()
	l.forget()
	var finished, working *entry
	for _, e := range l.entries[identify(d)] {
		switch {
		case !e.message.Stale():
		case e.done.IsZero():
			working = e
		case d.Redelivered:
			// A message that was never delivered before is a new request, however equal.
			finished = e
		}
	}
	e := finished
	if e == nil {
		e = working
	}
	if e == nil {
		l.mu.Unlock()
		return false
	}
	e.message = d.Message
	e.version++
	l.mu.Unlock()
	if e == finished {
		_ = e.ack(e.run) // when it fails, the entry waits for the next delivery as before
	}
	return true
}

// ack acknowledges the entry's request, whose result is safe under the given run id. When the message's session is gone,
// the entry stays in the ledger, waiting for the message to come back, and the error is queue.ErrStale.
func (e *entry) ack(run result.RunID) error {
	for {
		message, version := e.current()
		err := message.Ack()
		e.ledger.mu.Lock()
		if err != nil && e.version != version {
			e.ledger.mu.Unlock()
			continue // came back in the meantime
		}
		if err == nil || !errors.Is(err, queue.ErrStale) {
			e.remove()
			e.ledger.ours[run] = time.Now()
		} else if e.done.IsZero() {
			e.done, e.run = time.Now(), run
		}
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

// remove needs the ledger's lock.
func (e *entry) remove() {
	rest := slices.DeleteFunc(e.ledger.entries[e.identity], func(other *entry) bool { return other == e })
	if len(rest) == 0 {
		delete(e.ledger.entries, e.identity)
	} else {
		e.ledger.entries[e.identity] = rest
	}
}

// own enters a run id that we give out.
func (l *ledger) own(run result.RunID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ours[run] = time.Now()
}

// isOurs reports whether a run id was given out here, or is that of a request acknowledged here. Such a run is never the
// answer to whether somebody else has done a request: it belongs to an entry of its own, or did.
func (l *ledger) isOurs(run result.RunID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ours := l.ours[run]
	return ours
}

// forget drops what is too old to matter. It needs the lock.
func (l *ledger) forget() {
	oldest := time.Now().Add(-remembered)
	for id, list := range l.entries {
		list = slices.DeleteFunc(list, func(e *entry) bool { return !e.done.IsZero() && e.done.Before(oldest) })
		if len(list) == 0 {
			delete(l.entries, id)
		} else {
			l.entries[id] = list
		}
	}
	for run, at := range l.ours {
		if at.Before(oldest) {
			delete(l.ours, run)
		}
	}
}

// contested reports whether somebody else may have the request, too: the broker took it back from us, even if it came to
// us once more.
func (e *entry) contested() bool {
	message, version := e.current()
	return version > 0 || message.Stale()
}
