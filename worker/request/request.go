// Package request is a test request as it travels in a queue: which package to test, for which triggers, with which
// parameters. It parses, validates and prints request bodies and the names of the queues that carry them.
//
// It does not talk to a broker (package queue does) and it imports nothing else of this project. The format is the one
// that britney, run-autopkgtest and the Ubuntu website publish: the source package's name, a newline, a JSON object.
// Start reading at Request.
package request

import "encoding/json"

// MaxBody is the largest request body that is accepted, in bytes. The longest real ones (a kernel's triggers) stay
// below 100 KiB.
const MaxBody = 1 << 20

// KeyID is the parameter in which our own clients put a value of their choice to find their result again. No other
// client sends it, and other workers ignore it.
const KeyID = "request-id"

// Reference is the trigger that stands for no change: the package is tested against the release pocket alone.
const Reference = "migration-reference/0"

// Request is one test request.
type Request struct {
	Package     string   // source package
	Triggers    []string // SOURCE/VERSION each, what caused the test
	PPAs        []string // extra archives; the last one names the result container
	AllProposed bool     // the key's presence counts, whatever its value
	Env         []string // K=V, passed to the test as they are
	TestName    string
	TestGit     string
	BuildGit    string
	SwiftUser   string   // set for a private run: who may read the container
	ReadableBy  []string // who may read a private result
	Requester   string
	SubmitTime  string // as sent; three forms exist, none is relied on
	ID          string // KeyID

	// Extra holds the parameters that this type does not know, verbatim: they are ignored and kept for display.
	Extra map[string]json.RawMessage
}

// Private says whether the result may be shown to named readers only. Such a request's parameters are secret too: a
// private PPA carries its password.
func (r Request) Private() bool { return r.SwiftUser != "" }

// Context returns the context that the request belongs to: tests from git go to upstream, tests with a PPA to ppa. All
// others are normal, or huge when the caller sends so many that they should wait behind everybody else's.
func (r Request) Context(bulk bool) Context {
	switch {
	case r.TestGit != "" || r.BuildGit != "":
		return Upstream
	case len(r.PPAs) > 0:
		return PPA
	case bulk:
		return Huge
	}
	return Normal
}
