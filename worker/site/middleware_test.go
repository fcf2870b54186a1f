package site

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPanicBecomesAPage(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "http://results.test")
	var log bytes.Buffer
	f.Log = slog.New(slog.NewTextHandler(&log, nil))
	bug := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("on purpose") })
	handler := chain(bug, f.logRequests, f.recoverPanics, secureHeaders)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/x", nil))
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "Something went wrong here") ||
		strings.Contains(w.Body.String(), "on purpose") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if text := log.String(); !strings.Contains(text, "panic=\"on purpose\"") || !strings.Contains(text, "status=500") {
		t.Errorf("log: %s", text)
	}
}

func TestChainOrder(t *testing.T) {
	t.Parallel()
	var order []string
	mark := func(name string) middleware {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				order = append(order, name)
				next.ServeHTTP(w, r)
			})
		}
	}
	handler := chain(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { order = append(order, "handler") }), mark("a"), mark("b"))
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
	if strings.Join(order, " ") != "a b handler" {
		t.Error(order)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Config{
		"no releases":      {Architectures: []string{"amd64"}, ExternalURL: "http://x"},
		"no architectures": {Releases: []string{"trixie"}, ExternalURL: "http://x"},
		"no URL":           {Releases: []string{"trixie"}, Architectures: []string{"amd64"}, ExternalURL: "http://[x"},
	} {
		if s, err := New(c); err == nil {
			t.Errorf("%s: %v", name, s)
		}
	}
}
