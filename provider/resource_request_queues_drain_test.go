package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// fakeQueue is a management API with one queue, in which something stands.
type fakeQueue struct {
	mu       sync.Mutex
	messages int
	running  int
	late     int // requests that come after the last look, before the removal
	removed  bool
}

const fakeName = "debci-noble-amd64"

func (f *fakeQueue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method == http.MethodDelete && f.late > 0:
		f.late--
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":"bad_request","reason":"queue '%s' in vhost '/' not empty"}`, fakeName)
	case r.Method == http.MethodDelete:
		f.removed = true
		w.WriteHeader(http.StatusNoContent)
	default:
		fmt.Fprintf(w, `[{"name":%q,"durable":true,"arguments":{},"messages":%d,"messages_unacknowledged":%d}]`,
			fakeName, f.messages, f.running)
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		queue   *fakeQueue
		drain   drain
		want    string // part of the error, none if empty
		removed bool
	}{
		"nothing in it":            {&fakeQueue{}, drain{}, "", true},
		"a request, and no time":   {&fakeQueue{messages: 1}, drain{stall: time.Hour}, fakeName + " (1 request)", false},
		"one that runs":            {&fakeQueue{messages: 1, running: 1}, drain{stall: time.Hour}, fakeName + " (1 request, 1 running)", false},
		"they may be lost":         {&fakeQueue{messages: 2, running: 1}, drain{loss: true}, "", true},
		"nobody takes any":         {&fakeQueue{messages: 3}, drain{limit: time.Hour, stall: time.Millisecond}, "nobody has taken any", false},
		"one comes at the end":     {&fakeQueue{late: 1}, drain{limit: time.Minute, stall: time.Hour}, "", true},
		"one comes, and no time":   {&fakeQueue{late: 1}, drain{}, "not empty", false},
		"some are left in the end": {&fakeQueue{messages: 2, running: 1}, drain{limit: time.Millisecond, stall: time.Hour}, "waited 1ms", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tc.queue)
			t.Cleanup(server.Close)
			client, err := management.New(server.URL, "admin", "secret")
			if err != nil {
				t.Fatal(err)
			}
			err = tc.drain.remove(context.Background(), client, []string{fakeName})
			said := ""
			if own := new(problem); errors.As(err, &own) {
				said = own.title + ": " + own.detail
			} else if err != nil {
				said = err.Error()
			}
			if (err != nil) != (tc.want != "") || !strings.Contains(said, tc.want) {
				t.Errorf("%q, want %q", said, tc.want)
			}
			if err != nil && !errors.Is(err, errMessages) {
				t.Errorf("%v is not errMessages", err)
			}
			if tc.queue.removed != tc.removed {
				t.Errorf("removed: %v, want %v", tc.queue.removed, tc.removed)
			}
		})
	}
}
