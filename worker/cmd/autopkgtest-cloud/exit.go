package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// The command's own exit codes are those of sysexits.h, so that they cannot be mistaken for autopkgtest's.
const (
	exitUsage       = 64
	exitUnavailable = 69
	exitInternal    = 70
	exitTimeout     = 75
	exitRefused     = 77
	exitConfig      = 78
	exitInterrupted = 130
)

const exitCodeHelp = `Exit codes:
  0        all is well
  0 to 20  with request --wait: autopkgtest's own, of the first test that did not
           end with 0 (2 skipped or flaky, 4 6 failed, 8 nothing to test, 12 14 bad
           package, 16 testbed failed, 20 other); 99: not run on purpose
` + ownExitCodes + `
  75       the wait ended before the test, or before any worker answered`

const ownExitCodeHelp = `Exit codes:
  0        all is well
` + ownExitCodes

const controlExitCodeHelp = `Exit codes:
  0        all of them were
` + ownExitCodes + `
  75       no worker answered in time

When several fail, the code is of one of them.`

const ownExitCodes = `  64       wrong usage
  69       the broker, the site, the queue or the running test is not there
  70       anything else
  77       the broker refuses the account
  78       no configuration, or a wrong one
  130      interrupted`

// usageError is the caller's mistake on the command line.
type usageError struct{ err error }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

func (e *usageError) Error() string { return e.err.Error() }

func (e *usageError) Unwrap() error { return e.err }

// testOutcome ends the command with autopkgtest's exit code. It is no failure of the command.
type testOutcome struct{ code int }

func (o *testOutcome) Error() string { return fmt.Sprintf("the test ended with %d", o.code) }

// errWaited: the time for waiting is over.
var errWaited = errors.New("waited long enough")

// exitCode sorts an error.
func exitCode(err error) int {
	var wrong *usageError
	switch {
	case errors.As(err, &wrong), errors.Is(err, request.ErrMalformed):
		return exitUsage
	case errors.Is(err, errWaited):
		return exitTimeout
	case errors.Is(err, errConfiguration), errors.Is(err, config.ErrInvalid), errors.Is(err, config.ErrExposed):
		return exitConfig
	case errors.Is(err, queue.ErrRefused), errors.Is(err, management.ErrDenied):
		return exitRefused
	case errors.Is(err, queue.ErrNoQueue), errors.Is(err, queue.ErrUnreachable), errors.Is(err, queue.ErrUnconfirmed),
		errors.Is(err, errSite), errors.Is(err, errUnknownHandle), errors.Is(err, errUnknownRejected),
		errors.Is(err, management.ErrUnavailable), errors.Is(err, errNotRotated),
		errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable
	}
	return exitInternal
}
