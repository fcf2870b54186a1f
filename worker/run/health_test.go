package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
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

// What is over once the first canaries have passed is told apart from what is wrong.
func TestUnprovenTestbeds(t *testing.T) {
	t.Parallel()
	unproven := fmt.Errorf("%w: %w", testbed.ErrOpen, testbed.ErrUnproven)
	for name, test := range map[string]struct {
		ready func(request.Queue) error
		want  Finding
	}{
		"all":  {func(request.Queue) error { return unproven }, Finding{Reason: unproven.Error(), Unproven: true}},
		"none": {func(request.Queue) error { return nil }, Finding{OK: true}},
		"one is broken": {func(q request.Queue) error {
			if q.Context == request.Normal {
				return testbed.ErrNoRoom
			}
			return unproven
		}, Finding{Reason: testbed.ErrNoRoom.Error() + "; " + unproven.Error()}},
		"one is proven": {func(q request.Queue) error {
			if q.Context == request.Normal {
				return nil
			}
			return unproven
		}, Finding{Reason: unproven.Error(), Unproven: true}},
	} {
		b := newBench(t, passes)
		b.testbeds.ready = test.ready
		if err := b.Reconfigure([]request.Queue{noble, {Context: "ppa", Release: noble.Release, Architecture: noble.Architecture}}, 1); err != nil {
			t.Fatal(err)
		}
		findings, _ := Examine(t.Context(), b.Checks())
		for _, f := range findings {
			test.want.ID, test.want.Title = f.ID, f.Title
			if f.ID == "images" && f != test.want {
				t.Errorf("%s: %+v, want %+v", name, f, test.want)
			}
		}
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
