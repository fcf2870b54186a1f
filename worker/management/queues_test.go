package management

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// answering is a management API that answers everything in one way, and remembers what it was asked.
func answering(t *testing.T, answer func(r *http.Request) (status int, body string)) (*Client, *[]string) {
	t.Helper()
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.RequestURI())
		status, body := answer(r)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	m, err := New(server.URL, "admin", fakePassword)
	if err != nil {
		t.Fatal(err)
	}
	return m, &asked
}

const leanQuery = "disable_stats=true&enable_queue_totals=true"

func TestOneListing(t *testing.T) {
	t.Parallel()
	m, asked := answering(t, func(*http.Request) (int, string) {
		return http.StatusOK, `[{"name":"debci-noble-amd64","durable":true,"auto_delete":false,"exclusive":false,"arguments":{},` +
			`"messages":3,"messages_ready":2,"messages_unacknowledged":1}]`
	})
	got, err := m.Queues(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Queue{"debci-noble-amd64": {Name: "debci-noble-amd64", Plain: true, Messages: 3, Running: 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"GET /api/queues/%2F?" + leanQuery}, *asked); diff != "" {
		t.Error(diff)
	}
}

// TestCountsThatAreNotTold: a broker that does not know the parameters leaves the counts out of a lean listing. Read as
// zero they would let a queue with requests be removed.
func TestCountsThatAreNotTold(t *testing.T) {
	t.Parallel()
	m, _ := answering(t, func(r *http.Request) (int, string) {
		if r.URL.RawQuery == leanQuery {
			return http.StatusOK, `[{"name":"debci-noble-amd64","durable":true,"arguments":{}}]`
		}
		return http.StatusOK, `[{"name":"debci-noble-amd64","durable":true,"arguments":{},"messages":7,"messages_unacknowledged":2}]`
	})
	got, err := m.Queues(context.Background())
	if err != nil || got["debci-noble-amd64"].Messages != 7 || got["debci-noble-amd64"].Running != 2 {
		t.Errorf("got %+v, %v; want 7 messages, 2 of them running", got, err)
	}
}

func TestVirtualHostIsGone(t *testing.T) {
	t.Parallel()
	m, _ := answering(t, func(*http.Request) (int, string) {
		return http.StatusNotFound, `{"error":"Object Not Found","reason":"Not Found"}`
	})
	if _, err := m.Queues(context.Background()); !errors.Is(err, ErrNoVHost) || !strings.Contains(err.Error(), "virtual host /") {
		t.Errorf("queues: %v, want ErrNoVHost", err)
	}
	if _, err := m.QueueLoads(context.Background()); !errors.Is(err, ErrNoVHost) {
		t.Errorf("loads: %v, want ErrNoVHost", err)
	}
}

// TestLastEmpty: the zeros with which the broker fills what it does not know are no facts.
func TestLastEmpty(t *testing.T) {
	t.Parallel()
	const minute = int64(time.Minute / time.Millisecond)
	at := func(ago int64) int64 { return 1_795_644_000_000 - ago*minute }
	samples := func(values ...int) (s series) {
		for i, v := range values {
			s.Samples = append(s.Samples, struct {
				Value int   `json:"sample"`
				At    int64 `json:"timestamp"`
			}{v, at(int64(i))})
		}
		return s
	}
	for name, test := range map[string]struct {
		lengths, published series
		total, messages    int
		up                 time.Duration
		want               int64 // minutes ago, -1 for unknown
	}{
		"two minutes ago":              {samples(3, 1, 0, 0), samples(3, 1, 0, 0), 3, 3, time.Hour, 2},
		"it was empty more than once":  {samples(1, 0, 5, 0), samples(9, 8, 8, 3), 9, 1, time.Hour, 1},
		"never in the samples":         {samples(3, 3, 3, 3), samples(9, 9, 9, 9), 9, 3, time.Hour, -1},
		"before the node was started":  {samples(3, 3, 0, 0), samples(3, 3, 0, 0), 3, 3, 90 * time.Second, -1},
		"statistics that were dropped": {samples(3, 0, 0, 0), samples(1, 0, 0, 0), 1, 3, time.Hour, -1},
		"no counts of publications":    {samples(3, 0, 0, 0), samples(), 0, 3, time.Hour, -1},
		"lengths are behind":           {samples(3, 0, 0, 0), samples(3, 3, 0, 0), 3, 3, time.Hour, 2},
		"no samples at all":            {samples(), samples(), 3, 3, time.Hour, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var i loadInfo
			i.Lengths, i.Stats.Details, i.Stats.Published = test.lengths, test.published, test.total
			got := i.lastEmpty(test.messages, test.up)
			if test.want < 0 && !got.IsZero() || test.want >= 0 && got.UnixMilli() != at(test.want) {
				t.Errorf("empty at %v, want %d minutes ago", got, test.want)
			}
		})
	}
}
