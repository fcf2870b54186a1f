package swift

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// faulty is a server that stores one object and answers with faults before it does. It is a server and not a fake client
// because broken connections are the point.
type faulty struct {
	mutex  sync.Mutex
	faults []http.HandlerFunc // one per request, logins not counted
	logins int
	seen   []string // METHOD STATUS-or-fault of each request
	token  string   // the one that is good
	object []byte
	etag   string // told instead of the right one
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if r.URL.Path == "/auth/v1.0" {
		f.logins++
		if r.Header.Get("X-Auth-Key") != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		f.token = "token-" + strconv.Itoa(f.logins)
		w.Header().Set("X-Auth-Token", f.token)
		w.Header().Set("X-Storage-Url", "http://"+r.Host+"/v1/AUTH_x")
		return
	}
	if len(f.faults) > 0 {
		fault := f.faults[0]
		f.faults = f.faults[1:]
		if fault != nil {
			f.seen = append(f.seen, r.Method+" fault")
			fault(w, r)
			return
		}
	}
	f.seen = append(f.seen, r.Method)
	if r.Header.Get("X-Auth-Token") != f.token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch r.Method {
	case http.MethodPut:
		content, err := io.ReadAll(r.Body)
		if err != nil || int64(len(content)) != r.ContentLength {
			w.WriteHeader(http.StatusRequestTimeout)
			return
		}
		f.object = content
		sum := md5.Sum(content)
		etag := hex.EncodeToString(sum[:])
		if f.etag != "" {
			etag = f.etag
		}
		if etag != "none" {
			w.Header().Set("Etag", etag)
		}
		w.WriteHeader(http.StatusCreated)
	case http.MethodDelete:
		if f.object == nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		f.object = nil
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet:
		sum := md5.Sum(f.object)
		w.Header().Set("Etag", hex.EncodeToString(sum[:]))
		_, _ = w.Write(f.object)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// hangUp breaks the connection after some of the request's body.
func hangUp(w http.ResponseWriter, r *http.Request) {
	_, _ = io.CopyN(io.Discard, r.Body, 1000)
	panic(http.ErrAbortHandler)
}

// serve starts the server and returns a store whose pauses are noted down instead of waited for.
func serve(t *testing.T, f *faulty) (*Store, *[]time.Duration) {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	s := New(config.Store{AuthURL: server.URL + "/auth/v1.0", Username: "x:y", Password: "secret"})
	var pauses []time.Duration
	s.pause = func(ctx context.Context, d time.Duration) error {
		pauses = append(pauses, d)
		return ctx.Err()
	}
	return s, &pauses
}

func TestPutThroughFaults(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("content ", 100_000)
	for name, test := range map[string]struct {
		faults []http.HandlerFunc
		etag   string
		kind   error // nil: the object arrives
		seen   []string
		logins int
		pauses int
	}{
		"no fault":           {seen: []string{"PUT"}, logins: 1},
		"unavailable once":   {faults: []http.HandlerFunc{status(503)}, seen: []string{"PUT fault", "PUT"}, logins: 1, pauses: 1},
		"hang up twice":      {faults: []http.HandlerFunc{hangUp, hangUp}, seen: []string{"PUT fault", "PUT fault", "PUT"}, logins: 1, pauses: 2},
		"unavailable always": {faults: []http.HandlerFunc{status(503), status(500), hangUp, nil}, kind: store.ErrUnavailable, seen: []string{"PUT fault", "PUT fault", "PUT fault"}, logins: 1, pauses: 2},
		"rate limit":         {faults: []http.HandlerFunc{status(498), status(429)}, seen: []string{"PUT fault", "PUT fault", "PUT"}, logins: 1, pauses: 2},
		"token ended":        {faults: []http.HandlerFunc{status(401)}, seen: []string{"PUT fault", "PUT"}, logins: 2},
		"token ended, 403":   {faults: []http.HandlerFunc{status(403)}, seen: []string{"PUT fault", "PUT"}, logins: 2},
		"denied":             {faults: []http.HandlerFunc{status(403), status(403), nil}, kind: store.ErrDenied, seen: []string{"PUT fault", "PUT fault"}, logins: 2},
		"no container":       {faults: []http.HandlerFunc{status(404)}, kind: store.ErrNotFound, seen: []string{"PUT fault"}, logins: 1},
		"refused":            {faults: []http.HandlerFunc{status(413)}, kind: store.ErrInvalid, seen: []string{"PUT fault"}, logins: 1},
		"damaged on the way": {faults: []http.HandlerFunc{status(422)}, seen: []string{"PUT fault", "PUT"}, logins: 1, pauses: 1},
		"no checksum":        {etag: "none", kind: store.ErrUnavailable, seen: []string{"PUT", "PUT", "PUT"}, logins: 1, pauses: 2},
		"another checksum":   {etag: "00", kind: store.ErrUnavailable, seen: []string{"PUT", "PUT", "PUT"}, logins: 1, pauses: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &faulty{faults: test.faults, etag: test.etag}
			s, pauses := serve(t, f)
			err := s.Put(t.Context(), "container", "object", strings.NewReader(content), int64(len(content)), store.Properties{})
			if !errors.Is(err, test.kind) {
				t.Errorf("error %v, want %v", err, test.kind)
			}
			if test.kind == nil && string(f.object) != content {
				t.Errorf("%d bytes arrived, or others than the %d that were put", len(f.object), len(content))
			}
			if diff := cmp.Diff(test.seen, f.seen); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if f.logins != test.logins || len(*pauses) != test.pauses {
				t.Errorf("%d logins, %d pauses; want %d, %d", f.logins, len(*pauses), test.logins, test.pauses)
			}
		})
	}
}

// A deletion whose answer got lost finds nothing when it is repeated, and that is what was wanted.
func TestDeleteThroughFaults(t *testing.T) {
	t.Parallel()
	f := &faulty{object: []byte("content")}
	f.faults = []http.HandlerFunc{func(http.ResponseWriter, *http.Request) {
		f.object = nil
		panic(http.ErrAbortHandler)
	}, status(503)}
	s, pauses := serve(t, f)
	if err := s.Delete(t.Context(), "container", "object"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"DELETE fault", "DELETE fault", "DELETE"}, f.seen); diff != "" || len(*pauses) != 2 {
		t.Errorf("%d pauses, requests (-want +got):\n%s", len(*pauses), diff)
	}
	f.faults = []http.HandlerFunc{status(403), status(403)}
	if err := s.Delete(t.Context(), "container", "object"); !errors.Is(err, store.ErrDenied) {
		t.Errorf("error %v, want ErrDenied", err)
	}
}

// Listings of two workers' uploads within one second must tell which came first.
func TestListingKeepsFractions(t *testing.T) {
	t.Parallel()
	s, _ := serve(t, &faulty{faults: []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `[{"name": "a", "bytes": 1, "last_modified": "2026-11-25T12:00:01.250000"},
			{"name": "b", "bytes": 1, "last_modified": "2026-11-25T12:00:01"}]`)
	}}})
	entries, err := s.List(t.Context(), "container", store.Query{})
	if err != nil || len(entries) != 2 {
		t.Fatalf("%+v, %v", entries, err)
	}
	if got := entries[0].Modified.Sub(entries[1].Modified); got != 250*time.Millisecond {
		t.Errorf("the first was put %s after the second, want 250ms", got)
	}
}

func TestPausesGrow(t *testing.T) {
	t.Parallel()
	s, pauses := serve(t, &faulty{faults: []http.HandlerFunc{status(503), status(503), status(503)}})
	if _, err := s.List(t.Context(), "container", store.Query{}); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("error %v, want ErrUnavailable", err)
	}
	if len(*pauses) != 2 {
		t.Fatalf("pauses %v", *pauses)
	}
	for i, least := range []time.Duration{firstPause / 2, firstPause * 2} {
		if got := (*pauses)[i]; got < least || got > 3*least {
			t.Errorf("pause %d is %s, want %s to %s", i, got, least, 3*least)
		}
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	f := &faulty{}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	s := New(config.Store{AuthURL: server.URL + "/auth/v1.0", Username: "x:y", Password: "hunter2"})
	_, err := s.List(t.Context(), "container", store.Query{})
	if !errors.Is(err, store.ErrDenied) {
		t.Errorf("error %v, want ErrDenied", err)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error shows the password: %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	for name, s := range map[string]*Store{
		"account":   New(config.Store{AuthURL: server.URL + "/auth/v1.0", Username: "x:y", Password: "secret"}),
		"anonymous": Anonymous(server.URL + "/v1/AUTH_x"),
	} {
		s.pause = func(context.Context, time.Duration) error { return nil }
		if _, err := s.List(t.Context(), "container", store.Query{}); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: error %v, want ErrUnavailable", name, err)
		}
	}
}

// TestOneLoginForAll: many goroutines whose token ends at the same time log in once more, not once each.
func TestOneLoginForAll(t *testing.T) {
	t.Parallel()
	f := &faulty{}
	s, _ := serve(t, f)
	s.pause = sleep
	put := func() {
		if err := s.Put(t.Context(), "container", "object", strings.NewReader("content"), 7, store.Properties{}); err != nil {
			t.Error(err)
		}
	}
	put()
	f.mutex.Lock()
	f.token = "another"
	f.mutex.Unlock()
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(put)
	}
	wait.Wait()
	if f.logins != 2 {
		t.Errorf("%d logins, want 2", f.logins)
	}
}

func TestBrokenDownload(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(make([]byte, 10))
		},
		"cut off, no length": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, 10))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"another checksum": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", strings.Repeat("0", 32))
			_, _ = w.Write(make([]byte, 10))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := serve(t, &faulty{faults: []http.HandlerFunc{answer}})
			body, _, err := s.Get(t.Context(), "container", "object")
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(body)
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%d bytes and error %v, want ErrUnavailable", len(content), err)
			}
			if err := body.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// TestContextEndsDownload: a reader that waits for a silent server is let go.
func TestContextEndsDownload(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s, _ := serve(t, &faulty{faults: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_ = http.NewResponseController(w).Flush()
		cancel()
		<-r.Context().Done()
	}}})
	body, _, err := s.Get(ctx, "container", "object")
	if err == nil {
		_, err = io.ReadAll(body)
		if closed := body.Close(); closed != nil {
			t.Errorf("close: %v", closed)
		}
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}
