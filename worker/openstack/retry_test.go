package openstack

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gophercloud/gophercloud/v2"
)

func status(code int, header http.Header) gophercloud.ErrUnexpectedResponseCode {
	return gophercloud.ErrUnexpectedResponseCode{Actual: code, ResponseHeader: header}
}

func broken(op string) error {
	return &url.Error{Op: "Get", URL: "http://cloud/", Err: &net.OpError{Op: op, Err: syscall.ECONNREFUSED}}
}

func TestPassing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, method string
		err          error
		want         bool
	}{
		{"a service that is started", http.MethodPost, status(503, nil), true},
		{"a proxy without its service", http.MethodGet, status(502, nil), true},
		{"the same, and it may have been done", http.MethodPost, status(502, nil), false},
		{"not there", http.MethodGet, status(404, nil), false},
		{"the cloud's fault", http.MethodGet, status(500, nil), false},
		{"nobody listens", http.MethodPost, broken("dial"), true},
		{"the connection broke", http.MethodGet, broken("read"), true},
		{"the same, and it may have been done", http.MethodPatch, broken("read"), false},
		{"the caller's time is over", http.MethodGet, context.DeadlineExceeded, false},
	} {
		if got := passing(c.method, c.err); got != c.want {
			t.Errorf("%s, %s: %t", c.name, c.method, got)
		}
	}
}

func TestUnanswered(t *testing.T) {
	t.Parallel()
	region := new(Region)
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"it went well", nil, false},
		{"refused", status(403, nil), false},
		{"the service says that it cannot", status(503, nil), false},
		{"a proxy without its service", status(502, nil), true},
		{"a proxy that has not waited longer", status(504, nil), true},
		{"nobody listens", broken("dial"), false},
		{"the connection broke", broken("read"), true},
		{"the caller's time is over", &url.Error{Op: "Post", URL: "http://cloud/", Err: context.DeadlineExceeded}, true},
		{"found before anything was sent", region.NewError(ErrNoService, Compute, "no such service", "ask"), false},
	} {
		if got := Unanswered(region.failed(Compute, c.err)); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

// TestPatience: the waits of a request that never succeeds are some half a minute together, and then its failure comes back.
func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		failure := error(status(503, nil))
		var err error
		for failures := uint(1); err == nil; failures++ {
			err = retry(t.Context(), http.MethodGet, "", nil, failure, failures)
		}
		if took := time.Since(begin); took < patience/2 || took > patience {
			t.Errorf("gave up after %s", took)
		}
		if !errors.As(err, &gophercloud.ErrUnexpectedResponseCode{}) {
			t.Errorf("the failure became %v", err)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		text string
		want time.Duration
		is   bool
	}{
		{"", 0, false},
		{"7", 7 * time.Second, true},
		{"-1", 0, false},
		{"soon", 0, false},
		{"Thu, 26 Nov 2026 12:00:09 GMT", 9 * time.Second, true},
		{"Thu, 26 Nov 2026 11:00:00 GMT", 0, true},
	} {
		got, is := retryAfter(http.Header{"Retry-After": {c.text}}, now)
		if got != c.want || is != c.is {
			t.Errorf("%q: %s, %t", c.text, got, is)
		}
	}
}

// TestTooManyRequests waits as long as the cloud asks for, but not for what it asks beyond reason or beyond the caller's time.
func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	for asked, want := range map[string]time.Duration{"3": 3 * time.Second, "86400": laterLimit, "": time.Second} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			refusal := status(429, http.Header{"Retry-After": {asked}})
			if err := retryLater(t.Context(), &refusal, nil, 1); err != nil || time.Since(begin) != want {
				t.Errorf("Retry-After %q: waited %s, %v", asked, time.Since(begin), err)
			}
			short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if err := retryLater(short, &refusal, nil, 1); err == nil {
				t.Error("waited although the caller's time ends before")
			}
		})
	}
}
