package rabbitmq

import (
	"slices"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// Role is what a user of the broker is for.
type Role string

// The roles.
const (
	Requester Role = "requester" // publishes requests: britney, run-autopkgtest
	Worker    Role = "worker"    // takes requests, announces states and results
	Collector Role = "collector" // listens to announcements
)

// Roles lists them all.
var Roles = []Role{Requester, Worker, Collector}

// ourTag marks the users that were made here. It gives no rights: the broker knows only tags of its own.
const ourTag = "autopkgtest-cloud"

// OurTags are the tags of a user that was made here.
var OurTags = []string{ourTag}

// Ours says whether the user bears our mark.
func (u User) Ours() bool { return slices.Contains(u.Tags, ourTag) }

const nothing = "^$"

// Permissions are the least that the role needs. Each was found by running its operations with every subset:
//
//   - A request is published to the default exchange, which is called amq.default here. Reading and making queues is denied.
//   - A worker consumes request queues that somebody else has made, so it can neither delete nor remake one. It declares
//     the exchanges, since the one for status messages does not outlive a restart of the broker.
//   - A collector declares its own two queues and binds them, which writes to the queue and reads from the exchange.
//
// Asking for a queue's length is a passive declaration and needs no right at all.
func (r Role) Permissions() Permissions {
	const (
		exchanges = `teststatus\.fanout|testcomplete\.fanout`
		listeners = `complete-listener|running-listener`
	)
	switch r {
	case Requester:
		return Permissions{Configure: nothing, Write: `^amq\.default$`, Read: nothing}
	case Worker:
		return Permissions{
			Configure: "^(" + exchanges + ")$",
			Write:     "^(" + exchanges + ")$",
			Read:      `^debci-.*$`,
		}
	case Collector:
		return Permissions{
			Configure: "^(" + listeners + "|" + exchanges + ")$",
			Write:     "^(" + listeners + ")$",
			Read:      "^(" + listeners + "|" + exchanges + ")$",
		}
	}
	return Permissions{Configure: nothing, Write: nothing, Read: nothing}
}

// Key is the key of the role's line in a credentials file.
func (r Role) Key() string {
	if r == Requester {
		return config.KeyGatekeeper
	}
	return config.KeyURI
}
