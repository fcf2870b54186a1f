package host

import (
	"errors"
	"strings"
)

// Kinds of failure that callers decide on, by [errors.Is]. What is returned is a [Problem] that says which thing.
var (
	// ErrAbsent: there is no stack in this folder.
	ErrAbsent = errors.New("no stack here")
	// ErrForeign: the folder belongs to another stack, or to something that is not ours.
	ErrForeign = errors.New("not this stack's folder")
	// ErrUnreachable: the account cannot reach or write the folder.
	ErrUnreachable = errors.New("folder out of the account's reach")
	// ErrNoSpace: the file system has too little room left.
	ErrNoSpace = errors.New("too little space")
	// ErrPortTaken: a port that is needed belongs to another program.
	ErrPortTaken = errors.New("port taken")
	// ErrAccount: the account that should run the services is missing or unfit.
	ErrAccount = errors.New("no usable account")
	// ErrInvalid: a path, a name or a definition that cannot be used as it is.
	ErrInvalid = errors.New("invalid")
	// ErrBusy: another process held a lock for too long.
	ErrBusy = errors.New("busy")
	// ErrNotReady: a service did not become ready in time.
	ErrNotReady = errors.New("not ready")
	// ErrMissing: a program that is needed is not installed, or not where it was said to be.
	ErrMissing = errors.New("program missing")
)

// Problem is an error for people: the thing, the cause, the way out. A caller with a title and a body (a Terraform
// diagnostic) can show the parts separately.
type Problem struct {
	Kind   error  // one of the Err values above
	Thing  string // "the folder /srv/stack"
	Cause  string // "belongs to the stack «other»"
	WayOut string // a sentence; may be empty when there is nothing that a user could do
	Err    error  // what the system said; may be nil
}

func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Thing + " " + p.Cause)
	if p.Err != nil {
		b.WriteString(" (" + p.Err.Error() + ")")
	}
	if p.WayOut != "" {
		b.WriteString(". " + p.WayOut)
	}
	return b.String()
}

// Unwrap lets errors.Is find both the kind and what the system said.
func (p *Problem) Unwrap() []error {
	if p.Err == nil {
		return []error{p.Kind}
	}
	return []error{p.Kind, p.Err}
}
