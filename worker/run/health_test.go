package run

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

func TestReady(t *testing.T) {
	t.Parallel()
	ok := Check{ID: "fine", Title: "Fine", Check: func(context.Context) error { return nil }}
	bad := Check{ID: "bad", Title: "Bad", Check: func(context.Context) error { return errors.New("it broke") }}
	hangs := Check{ID: "hangs", Title: "Hangs", Check: func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }}
	for name, test := range map[string]struct {
		checks []Check
		status int
		want   []Finding
	}{
		"all well": {[]Check{ok}, http.StatusOK, []Finding{{ID: "fine", Title: "Fine", OK: true}}},
		"one fails": {
			[]Check{ok, bad}, http.StatusServiceUnavailable,
			[]Finding{{ID: "fine", Title: "Fine", OK: true}, {ID: "bad", Title: "Bad", Reason: "it broke"}},
		},
		"one hangs": {
			[]Check{hangs}, http.StatusServiceUnavailable,
			[]Finding{{ID: "hangs", Title: "Hangs", Reason: "no answer within 5s"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				recorder := httptest.NewRecorder()
				Handler(test.checks).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/readyz", nil))
				var got struct {
					Ready  bool
					Checks []Finding
				}
				if err := json.Unmarshal(recorder.Body.Bytes(), &got); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, got.Checks); diff != "" || recorder.Code != test.status || got.Ready != (test.status == 200) {
					t.Errorf("status %d, ready %t, want %d; findings (-want +got):\n%s", recorder.Code, got.Ready, test.status, diff)
				}
			})
		})
	}
	recorder := httptest.NewRecorder()
	Handler([]Check{bad}).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	if recorder.Code != http.StatusOK {
		t.Errorf("healthz of a process that lives: %d", recorder.Code)
	}
}

// The worker's own checks tell what is missing, in words.
func TestWorkerChecks(t *testing.T) {
	t.Parallel()
	b := newBench(t, passes)
	b.broker.withdraw(b.session)
	if err := os.Remove(b.image(noble)); err != nil {
		t.Fatal(err)
	}
	findings, ok := Examine(t.Context(), b.Checks())
	if ok {
		t.Error("ready without a broker")
	}
	for _, f := range findings {
		want := map[string]string{"broker": "no session", "queues": "session", "images": "noble-amd64.tar.zst"}[f.ID]
		if f.OK != (want == "") || !strings.Contains(f.Reason, want) {
			t.Errorf("%s: %+v, want a reason with %q", f.ID, f, want)
		}
	}
}
