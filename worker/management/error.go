package management

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Kinds of failure of the management API.
var (
	ErrNotFound    = errors.New("not found in the broker")
	ErrDenied      = errors.New("denied by the broker")
	ErrRefused     = errors.New("refused by the broker")
	ErrUnavailable = errors.New("broker not available")

	// ErrNoManagement is an ErrDenied: the user is known, and none of its tags opens the management API.
	ErrNoManagement = errors.New("the broker lets the user not manage it")
	// ErrNoVHost is what calls about something in VHost say when that is not there: no queue, exchange or permission either.
	ErrNoVHost = errors.New("the broker has no virtual host " + VHost)
)

// What RabbitMQ 3.8 to 4.0 say in an answer's reason where its status is not enough.
const (
	reasonNoManagement = "Not management user"
	reasonNoVHost      = "vhost_not_found"
	reasonNoVHostOrSo  = "vhost_or_user_not_found"
)

// Error is a call of the management API that failed: which one, as whom, and what the broker said.
type Error struct {
	Endpoint string
	Username string
	Method   string
	Path     string
	Status   int    // of HTTP, 0 when there was no answer
	Reason   string // the broker's words
	Err      error  // when there was no answer that could be used
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "broker management API at %s", e.Endpoint)
	if e.Method != "" {
		fmt.Fprintf(&b, ": %s %s", e.Method, e.Path)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, ": %d %s", e.Status, http.StatusText(e.Status))
	}
	if e.Reason != "" {
		fmt.Fprintf(&b, ": %s", e.Reason)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	switch {
	case e.Is(ErrNoManagement):
		fmt.Fprintf(&b, " (user %q needs the tag \"administrator\")", e.Username)
		return b.String()
	case e.Is(ErrNoVHost):
		fmt.Fprintf(&b, " (is the virtual host %q there? autopkgtest_broker makes it)", VHost)
	}
	switch e.Status {
	case http.StatusUnauthorized:
		fmt.Fprintf(&b, " (is the password of user %q right, and has it the tag \"management\"?)", e.Username)
	case http.StatusForbidden:
		fmt.Fprintf(&b, " (user %q needs the tag \"administrator\")", e.Username)
	}
	return b.String()
}

// Unwrap implements errors.Unwrap.
func (e *Error) Unwrap() error { return e.Err }

// Is matches the kinds of failure.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Status == http.StatusNotFound && !e.unavailable()
	case ErrDenied:
		return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
	case ErrNoManagement:
		return e.Status == http.StatusUnauthorized && e.Reason == reasonNoManagement
	case ErrNoVHost:
		return e.Reason == reasonNoVHost || e.Reason == reasonNoVHostOrSo
	case ErrRefused:
		return e.Status == http.StatusBadRequest || e.Status == http.StatusConflict
	case ErrUnavailable:
		return e.unavailable()
	}
	return false
}

func (e *Error) unavailable() bool {
	switch e.Status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusNotFound: // a node that starts listens before it has put its pages up
		return e.Path == pathIdentity
	case 0:
		return e.Err != nil && e.Method != ""
	}
	return false
}
