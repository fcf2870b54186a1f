package machine

import (
	"errors"
	"fmt"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// Kinds of failure, by [errors.Is]. What is returned is a [host.Problem] that names the machine, the cause and the way out.
var (
	// ErrUnreachable: nothing answers there, or not as an ssh server does.
	ErrUnreachable = errors.New("machine out of reach")
	// ErrHostKey: who answers there is not known, or is somebody else than before.
	ErrHostKey = errors.New("machine not known")
	// ErrDenied: the machine accepts none of the keys.
	ErrDenied = errors.New("machine refuses the login")
	// ErrArchitecture: there are no programs for the machine's architecture.
	ErrArchitecture = errors.New("no programs for the machine")
	// ErrRemote: the machine could be reached and does not do what it was asked.
	ErrRemote = errors.New("machine fails")
	// ErrLost: the connection has ended while it was used.
	ErrLost = errors.New("connection lost")
)

func (t Target) problem(kind error, cause string, err error, wayOut string) error {
	return &host.Problem{Kind: kind, Thing: "the machine " + t.String(), Cause: cause, Err: err, WayOut: wayOut}
}

// failed is a problem with something that a machine was asked to do.
func (t Target) failed(what string, err error) error {
	return t.problem(ErrRemote, "does not "+what, err, "Log in to it and see why; when that is mended, apply again")
}

func (t Target) lost(err error) error {
	return t.problem(ErrLost, "was lost while it was used", err, "See whether it is up and reachable, and try again")
}

// unreachable has the way out for the case that only the way to the machine has changed: what Terraform remembers of it is used
// before the configuration is.
func (t Target) unreachable(err error) error {
	return t.problem(ErrUnreachable, fmt.Sprintf("cannot be reached at port %d", t.filled().Port), err,
		"See whether it is up, whether its sshd listens there, and what a firewall between you says")
}
