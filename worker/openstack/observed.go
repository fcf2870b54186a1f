package openstack

import (
	"context"
	"net/http"
	"time"
)

// Request is one request to a cloud, for logs and for counting. It has no secrets in it.
type Request struct {
	Method string
	// URL is without the query.
	URL string
	// Status is HTTP's; 0 without an answer.
	Status int
	// ID is what the cloud's logs know the request by.
	ID   string
	Took time.Duration
	Err  error
}

// observed tells of each request.
type observed struct {
	base    http.RoundTripper
	observe func(context.Context, Request)
}

// RoundTrip implements http.RoundTripper.
func (o *observed) RoundTrip(req *http.Request) (*http.Response, error) {
	begin := time.Now()
	resp, err := o.base.RoundTrip(req)
	if o.observe == nil {
		return resp, err
	}
	address := *req.URL
	address.RawQuery = ""
	seen := Request{Method: req.Method, URL: address.String(), Took: time.Since(begin), Err: err}
	if resp != nil {
		seen.Status, seen.ID = resp.StatusCode, requestID(resp.Header)
	}
	o.observe(req.Context(), seen)
	return resp, err
}

// requestID is what a service calls the request in its logs.
func requestID(header http.Header) string {
	for _, name := range []string{"X-Openstack-Request-Id", "X-Compute-Request-Id"} {
		if id := header.Get(name); id != "" {
			return id
		}
	}
	return ""
}
