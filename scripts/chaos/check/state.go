// Package check looks at what a round of chaos has left and says what is wrong with it. It sees the system from outside, as
// its clients do: requests that the broker has confirmed, results that the store gives out, messages, queues, and what the
// machine still holds. It does not know how a worker works, and believes nothing that one says.
//
// Start reading at State for what is looked at, at Check for what must hold.
package check

import (
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// State is everything that is known when a round is over: the workers were told to stop and have ended.
type State struct {
	Requests    []Request
	Stored      []Stored
	Completions []queue.Completion
	Rejected    []Rejected
	Queues      map[string]int // queue → messages, waiting and unacknowledged
	Leftovers   []string       // processes, mounts, files, leases, each in words
}

// Request is a request that was published.
type Request struct {
	// Key is the package of its only trigger, and in no other request of the round: by it a result is known to be its own.
	Key   string
	Queue string
	Body  []byte

	// Where its result belongs; the run id is empty.
	Place result.Location
	Codes []int // with which it may end

	// Killed is how many of its tests were killed. When all attempts of one life were, its result says that the testbed failed.
	Killed int

	// Malformed requests have no result: they are found among the rejected ones.
	Malformed bool

	// How many messages with this body the broker has confirmed, and how many may have reached it: so many results it has. Of
	// two equal ones, one result is enough: which of them a worker has settled that was killed, nobody can tell.
	Least, Most int
}

// trigger is what the key stands in.
const triggerVersion = "1.0-1"

// Trigger is the trigger of a request with the key.
func Trigger(key string) string { return key + "/" + triggerVersion }

// KeyOf is the opposite of Trigger.
func KeyOf(trigger string) string {
	key, _, _ := strings.Cut(trigger, "/")
	return key
}

// Stored is one result.tar.
type Stored struct {
	At       result.Location
	Result   result.Result
	Err      error     // why it cannot be read, or its log
	Modified time.Time // as the store lists it
	Seen     bool      // a reader that only ever asks for greater run ids than it knows has read it
}

// Rejected is a message of the rejected queue.
type Rejected struct {
	Body   []byte
	Reason string
}
