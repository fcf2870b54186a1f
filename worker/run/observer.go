package run

import (
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// Observer is told what becomes of requests, for those who count. What is in hand at a moment is told by Worker.Look.
//
// Its methods are called from many goroutines, in the middle of lives: they return at once and call nothing of the worker.
type Observer interface {
	// Taken: a request has come from the broker, and its life begins. It ends in one Ended.
	Taken(q request.Queue)
	// Ended: a life is over. A result that was left in the spool ends twice: as Shelved, and by the next start of the worker,
	// which takes nothing for it.
	Ended(q request.Queue, how Ending)
	// Retried: a testbed failed, and the test is run again.
	Retried(q request.Queue)
	// Moved: results were stored anew above others, once for each of their new run ids.
	Moved(q request.Queue, times int)
	// Announced: a completion message was confirmed, so long after its result lay in the spool.
	Announced(q request.Queue, after time.Duration)
	// Failed: a try of what a state does failed, and is repeated after a pause.
	Failed(at State)
	// Unheard: a status message could not be sent, and is left out.
	Unheard()
}

// Ending is how a life ended: a result's class where there is a result of its own, and otherwise one of these words.
type Ending string

// The endings without a result of one's own.
const (
	Found    Ending = "found"    // another life's result is this request's
	Rejected Ending = "rejected" // it can never be run, and is kept for people
	Returned Ending = "returned" // given back to its queue
	Shelved  Ending = "shelved"  // its result waits in the spool for the next start of the worker
)

// Endings lists all of them, those with a result first.
func Endings() []Ending {
	var all []Ending
	for _, class := range result.Classes {
		all = append(all, Ending(class))
	}
	return append(all, Found, Rejected, Returned, Shelved)
}

// ending is how a life ended whose last state is given.
func (l *life) ending(last State) Ending {
	switch {
	case last == Reject:
		return Rejected
	case last == Handback:
		return Returned
	case last == Shelve:
		return Shelved
	case l.inherited:
		return Found
	}
	return Ending(result.Classify(l.result.ExitCode))
}

// unobserved is the Observer of a worker that has none.
type unobserved struct{}

func (unobserved) Taken(request.Queue)                    {}
func (unobserved) Ended(request.Queue, Ending)            {}
func (unobserved) Retried(request.Queue)                  {}
func (unobserved) Moved(request.Queue, int)               {}
func (unobserved) Announced(request.Queue, time.Duration) {}
func (unobserved) Failed(State)                           {}
func (unobserved) Unheard()                               {}
