package management

import (
	"slices"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// Role is what a user of the broker is for.
type Role string

// The roles.
const (
	Requester      Role = "requester"       // publishes requests: britney, run-autopkgtest
	Operator       Role = "operator"        // publishes requests, commands workers, looks after rejected requests
	Worker         Role = "worker"          // takes requests, announces states and results
	UpstreamWorker Role = "upstream-worker" // the same for the worker of Ubuntu's own cloud
	Collector      Role = "collector"       // listens to announcements
	Monitor        Role = "monitor"         // looks: lengths of queues, connections, state of the node
)

// Roles lists them all.
var Roles = []Role{Requester, Operator, Worker, UpstreamWorker, Collector, Monitor}

// ourTag marks the users that were made here. It gives no rights: the broker knows only tags of its own.
const ourTag = "autopkgtest-cloud"

// OurTags are the tags of a user that was made here and needs no others.
var OurTags = []string{ourTag}

// monitoringTag opens the management API for reading. It is RabbitMQ's own word.
const monitoringTag = "monitoring"

// Ours says whether the user bears our mark.
func (u User) Ours() bool { return slices.Contains(u.Tags, ourTag) }

const nothing = "^$"

// Permissions are the least that the role needs. Each was found by running its operations with every subset:
//
//   - A request is published to the default exchange, which is called amq.default here. Reading and making queues is denied.
//     The broker cannot tell that exchange's queues apart: whoever requests can put a message into any queue whose name he
//     knows. A worker does not obey a command that comes that way.
//   - An operator commands workers, and hears their answers with a queue that the broker names (amq.gen-...): declaring it
//     takes configure, binding it write to the queue and read from the exchange, consuming it read. It belongs to one
//     connection, and nobody else can use it, whatever his rights. Looking at rejected requests, and removing them, takes read.
//   - A worker consumes request queues that somebody else has made, so it can neither delete nor remake one. It declares
//     the exchange for status messages, which does not outlive a restart of the broker, and no other: it may configure only
//     what vanishes with the broker. It hears commands with a queue that the broker names as well. It answers to an exchange:
//     the broker's own direct reply-to would take the right to write to amq.default, and so to every queue.
//   - The upstream worker declares its request queues and both exchanges before it uses them, which takes configure even when
//     they exist. So it can also delete them.
//   - A collector declares its own two queues and binds them, which writes to the queue and reads from the exchange. Ours asks
//     whether the exchange for results is there; the upstream website's declares it, so that it may.
//   - A monitor needs rights in VHost to be let in at all, and none of them gives it anything: what it sees comes with the
//     tag "monitoring". It sees the names of users and queues, and no message.
//
// Asking for a queue's length is a passive declaration and needs no right at all.
func (r Role) Permissions() Permissions {
	const (
		exchanges = `teststatus\.fanout|testcomplete\.fanout`
		listeners = `complete-listener|running-listener`
		own       = `amq\.gen-.*` // queues that the broker names
	)
	switch r {
	case Requester:
		return Permissions{Configure: nothing, Write: `^amq\.default$`, Read: nothing}
	case Operator:
		return Permissions{
			Configure: "^" + own + "$",
			Write:     `^(amq\.default|autopkgtest\.control|` + own + ")$",
			Read:      `^(autopkgtest\.answers|rejected-requests|` + own + ")$",
		}
	case Worker:
		return Permissions{
			Configure: `^(teststatus\.fanout|` + own + ")$",
			Write:     "^(" + exchanges + `|autopkgtest\.answers|autopkgtest\.rejected|` + own + ")$",
			Read:      `^(debci-.*|autopkgtest\.control|` + own + ")$",
		}
	case UpstreamWorker:
		return Permissions{
			Configure: "^(debci-.*|" + exchanges + ")$",
			Write:     "^(" + exchanges + ")$",
			Read:      "^debci-.*$",
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

// Tags are those of a user of this role, ours among them.
func (r Role) Tags() []string {
	if r == Monitor {
		return []string{ourTag, monitoringTag}
	}
	return OurTags
}

// Key is the key of the role's line in a credentials file.
func (r Role) Key() string {
	if r == Requester {
		return config.KeyGatekeeper
	}
	return config.KeyURI
}

// Everything is what an administrator may do in VHost.
var Everything = Permissions{Configure: ".*", Write: ".*", Read: ".*"}
