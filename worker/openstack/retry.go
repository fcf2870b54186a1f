package openstack

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/gophercloud/gophercloud/v2"
)

const (
	// patience is for how long a request is repeated, all waits together: a service that is restarted is back by then, and an operator
	// who looks at a plan has not given up.
	patience   = 30 * time.Second
	firstPause = 250 * time.Millisecond
	lastPause  = 5 * time.Second
	// laterLimit bounds a wait that the cloud asks for.
	laterLimit = 2 * time.Minute
	laterTries = 10
)

// retry is gophercloud's hook for a request that has failed. It waits and returns nil where another try may help: nobody has answered,
// or a proxy has in the service's place. What may have been done is not done again: a POST is repeated only if it was not accepted.
func retry(ctx context.Context, method, _ string, options *gophercloud.RequestOpts, err error, failures uint) error {
	pause, ok := pauseBefore(failures)
	if !ok || !passing(method, err) || options != nil && options.RawBody != nil {
		return err
	}
	var refusal gophercloud.ErrUnexpectedResponseCode
	if errors.As(err, &refusal) {
		if asked, is := retryAfter(refusal.ResponseHeader, time.Now()); is {
			pause = min(asked, laterLimit)
		}
	}
	return wait(ctx, pause, err)
}

// retryLater is the hook for a refusal that says «too many requests». The request was not carried out, whatever it is.
func retryLater(ctx context.Context, refusal *gophercloud.ErrUnexpectedResponseCode, _ error, failures uint) error {
	if failures > laterTries {
		return *refusal
	}
	pause, ok := retryAfter(refusal.ResponseHeader, time.Now())
	if !ok {
		pause = min(time.Second<<(failures-1), laterLimit)
	}
	return wait(ctx, min(pause, laterLimit), *refusal)
}

// wait returns nil after the pause; the failure, with the reason, if the caller's time ends before.
func wait(ctx context.Context, pause time.Duration, failure error) error {
	if deadline, has := ctx.Deadline(); has && time.Until(deadline) < pause {
		return failure
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errors.Join(failure, ctx.Err())
	}
}

// pauseBefore is the wait after so many failures; false when the patience is used up.
func pauseBefore(failures uint) (time.Duration, bool) {
	pause, waited := firstPause, time.Duration(0)
	for range failures - 1 {
		waited += pause
		pause = min(2*pause, lastPause)
	}
	return pause, waited+pause <= patience
}

// passing says whether a failure may go away by itself, and the request may be sent again.
func passing(method string, err error) bool {
	harmless := method != http.MethodPost && method != http.MethodPatch
	var refusal gophercloud.ErrUnexpectedResponseCode
	if errors.As(err, &refusal) {
		switch refusal.Actual {
		case http.StatusServiceUnavailable:
			return true
		case http.StatusBadGateway, http.StatusGatewayTimeout:
			return harmless
		}
		return false
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var broken *net.OpError
	if errors.As(err, &broken) {
		return harmless || unsent(err)
	}
	return false
}

// makingLimit bounds a request that is not interrupted, with its repetitions.
const makingLimit = time.Minute

var errNotMade = errors.New("no answer within " + makingLimit.String())

// toTheAnswer is for a request that makes something: the cloud goes on with it, whatever happens to whoever asked, and the answer alone
// says what it has made. So the request goes on, too, when ctx ends; but it does not begin then.
func toTheAnswer(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() != nil {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(context.WithoutCancel(ctx), makingLimit, errNotMade)
}

// Unanswered says of a failure that the request may have been carried out, or may still be: nobody has said that it was not.
func Unanswered(err error) bool {
	var fail *Error
	switch {
	case err == nil:
		return false
	case errors.As(err, &fail) && fail.Status != 0:
		return fail.Status == http.StatusBadGateway || fail.Status == http.StatusGatewayTimeout
	case fail != nil && fail.Method == "": // about no request
		return false
	}
	return !unsent(err)
}

// unsent says of a failure that there was not even a connection.
func unsent(err error) bool {
	var broken *net.OpError
	return errors.As(err, &broken) && broken.Op == "dial"
}

// retryAfter reads what the cloud asks for, seconds or a date.
func retryAfter(header http.Header, now time.Time) (time.Duration, bool) {
	text := header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
		return time.Duration(seconds) * time.Second, true
	}
	if date, err := http.ParseTime(text); err == nil {
		return max(date.Sub(now), 0), true
	}
	return 0, false
}
