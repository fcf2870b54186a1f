package run

import (
	"bytes"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// Message is a request at the broker, held by us until it is settled, once. queue.Delivery is one.
type Message interface {
	Ack() error
	Requeue() error
	Stale() bool // its session has ended; the broker will deliver it again
}

// Delivery is a request that the broker has given to us.
type Delivery struct {
	Message
	Queue       request.Queue
	Body        []byte
	Redelivered bool

	place bool // one of the worker's places was reserved for it
}

// attributes describe the delivery in the log, before anybody has parsed it.
func (d Delivery) attributes() []any {
	return []any{
		"queue", d.Queue.Name(), "release", d.Queue.Release, "arch", d.Queue.Architecture,
		"package", d.packageName(), "redelivered", d.Redelivered,
	}
}

// packageName is what stands where the package should, which in a malformed request is anything.
func (d Delivery) packageName() string {
	name, _, _ := bytes.Cut(d.Body, []byte("\n"))
	return request.HideSecrets(head(name))
}

// head is the beginning of outside text, for a message.
func head(text []byte) string {
	const longest = 200
	if len(text) > longest {
		return string(text[:longest]) + "…"
	}
	return string(text)
}
