package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/index"
)

func TestInWords(t *testing.T) {
	t.Parallel()
	away := errors.New("away")
	for name, test := range map[string]struct {
		listing index.State
		broker  error
		want    string
	}{
		"well":         {index.State{Passes: 7}, nil, "the index is complete"},
		"new":          {index.State{Found: 12}, nil, "the index is being built, 12 results so far"},
		"store away":   {index.State{Passes: 7, Err: away}, nil, "the store cannot be listed"},
		"broker away":  {index.State{Passes: 7}, away, "the index is complete; no session with the broker"},
		"nothing here": {index.State{Err: away}, away, "the store cannot be listed; no session with the broker"},
	} {
		if got := inWords(test.listing, test.broker); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// A website that no longer answers gives no sign of life.
func TestSignOfLife(t *testing.T) {
	t.Parallel()
	status := http.StatusOK
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(status)
	}))
	s := service(site.Listener.Addr(), func() index.State { return index.State{} }, func() error { return nil })
	if err := s.Alive(t.Context()); err != nil {
		t.Error(err)
	}
	status = http.StatusServiceUnavailable
	if err := s.Alive(t.Context()); err == nil {
		t.Error("an error page is a sign of life")
	}
	site.Close()
	if err := s.Alive(t.Context()); err == nil {
		t.Error("a closed port is a sign of life")
	}
}
