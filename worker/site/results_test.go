package site

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// broken is a store that does not answer.
type broken struct{ store.Store }

func (broken) Get(context.Context, string, string) (io.ReadCloser, store.Properties, error) {
	return nil, store.Properties{}, fmt.Errorf("on purpose: %w", store.ErrUnavailable)
}

func (broken) List(context.Context, string, store.Query) ([]store.Entry, error) {
	return nil, fmt.Errorf("on purpose: %w", store.ErrUnavailable)
}

func TestObjectsPassThrough(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "http://results.test")
	loc := f.run(t, at("trixie", "amd64", "g++-12", time.Minute), result.Result{Version: "1"}, realLog)
	path := f.objectLink(loc, result.LogObject)
	answer, body := f.get(t, path)
	if answer.StatusCode != http.StatusOK || body != string(packed(t, realLog)) {
		t.Fatalf("%s, %d bytes", answer.Status, len(body))
	}
	for name, want := range map[string]string{
		"Content-Type": "text/plain; charset=UTF-8", "Content-Encoding": "gzip", "Etag": `"tag"`,
		"Content-Length": fmt.Sprint(len(body)), "Content-Security-Policy": objectPolicy,
		"X-Trans-Id": "", "Set-Cookie": "",
	} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if answer, body := f.do(t, "HEAD", path, nil); answer.StatusCode != http.StatusOK || body != "" || answer.ContentLength == 0 {
		t.Errorf("HEAD: %s %v", answer.Status, answer.Header)
	}
	if answer, body := f.do(t, "GET", path, http.Header{"Range": {"bytes=2-5"}}); answer.StatusCode != http.StatusPartialContent ||
		len(body) != 4 || answer.Header.Get("Content-Range") == "" {
		t.Errorf("a range: %s %q", answer.Status, body)
	}
	if answer, _ := f.do(t, "GET", path, http.Header{"If-None-Match": {`"tag"`}}); answer.StatusCode != http.StatusNotModified {
		t.Errorf("unchanged: %s", answer.Status)
	}
	answer, _ = f.do(t, "GET", path, http.Header{"Range": {"bytes=99999999-"}})
	if answer.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("a wrong range: %s", answer.Status)
	}
}

func TestListingsPassThrough(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "http://results.test")
	loc := f.run(t, at("trixie", "amd64", "green", time.Minute), result.Result{Version: "1"}, realLog)
	for path, want := range map[string]string{
		"/results/autopkgtest-trixie/?format=plain&prefix=trixie%2Famd64%2Fg%2F&delimiter=%40": loc.Dir() + "\n",
		"/results/autopkgtest-trixie/trixie/amd64/":                                            "trixie/amd64/g/\n",
		"/results/autopkgtest-trixie/?limit=1":                                                 loc.Object(result.ArtifactsObject) + "\n",
		"/results/autopkgtest-trixie/?limit=1&marker=" + loc.Dir() + "/b":                      loc.Object(result.LogObject) + "\n",
		"/results/autopkgtest-bookworm/":                                                       "",
	} {
		if answer, body := f.get(t, path); answer.StatusCode != http.StatusOK || body != want {
			t.Errorf("%s: %s %q, want %q", path, answer.Status, body, want)
		}
	}
	// The folder of a run is its page, for those who follow the addresses that programs are given.
	folder := "/results/autopkgtest-trixie/" + loc.Dir() + "/"
	if answer, _ := f.get(t, folder); answer.StatusCode != http.StatusFound || answer.Header.Get("Location") != f.runLink(loc) {
		t.Errorf("%s: %s %s", folder, answer.Status, answer.Header.Get("Location"))
	}
}

func TestObjectsThatAreNotOurs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "http://results.test")
	for _, container := range []string{"private-autopkgtest-trixie", "db-backups", "autopkgtest-jammy"} {
		if err := f.store.CreateContainer(t.Context(), container, true); err != nil {
			t.Fatal(err)
		}
		loc := at("trixie", "amd64", "green", time.Minute)
		loc.Container = container
		f.put(t, loc, "log.gz", []byte("secret"), store.Properties{})
		for _, path := range []string{"/results/" + container + "/", "/results/" + container + "/" + loc.Object("log.gz"),
			"/results/autopkgtest-trixie/..%2f" + container + "/" + loc.Object("log.gz"),
			"/results/autopkgtest-trixie/%2e%2e/" + container + "/" + loc.Object("log.gz"),
			"/results/autopkgtest-trixie%2f..%2f" + container + "/" + loc.Object("log.gz")} {
			answer, body := f.get(t, path)
			if answer.StatusCode < 300 || strings.Contains(body, "secret") {
				t.Errorf("%s: %s %s", path, answer.Status, body)
			}
		}
	}
	for path, status := range map[string]int{
		"/results/autopkgtest-trixie/nothing": 404, "/results/autopkgtest-trixie/a%0ab": 400, "/results/autopkgtest-trixie/%ff": 400,
	} {
		if answer, _ := f.get(t, path); answer.StatusCode != status {
			t.Errorf("%s: %s, want %d", path, answer.Status, status)
		}
	}
}

func TestStoreThatMisbehaves(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer func(w http.ResponseWriter)
		status int // 0: the connection breaks off
	}{
		"an error":    {func(w http.ResponseWriter) { w.WriteHeader(500) }, 502},
		"elsewhere":   {func(w http.ResponseWriter) { w.Header().Set("Location", "http://evil.test/"); w.WriteHeader(302) }, 502},
		"not allowed": {func(w http.ResponseWriter) { w.WriteHeader(401) }, 404},
		"breaks off": {func(w http.ResponseWriter) {
			// Without a length only the end of the transfer tells that something is missing.
			_, _ = w.Write([]byte("part"))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "http://results.test")
			odd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { test.answer(w) }))
			defer odd.Close()
			f.StoreURL = odd.URL
			answer, err := http.DefaultTransport.RoundTrip(newRequest(t, f.server.URL+"/results/autopkgtest-trixie/x"))
			if err != nil && test.status == 0 {
				return // it broke off before the first byte
			}
			if err != nil {
				t.Fatal(err)
			}
			_, readErr := io.Copy(io.Discard, answer.Body)
			if err := answer.Body.Close(); err != nil {
				t.Error(err)
			}
			if test.status == 0 {
				if readErr == nil {
					t.Error("half an object was taken for a whole one")
				}
				return
			}
			if answer.StatusCode != test.status || answer.Header.Get("Location") != "" {
				t.Errorf("%s %v", answer.Status, answer.Header)
			}
		})
	}
}

func newRequest(t *testing.T, address string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDamagedLogs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "http://results.test")
	whole := packed(t, strings.Repeat(realLog, 50))
	for name, test := range map[string]struct {
		content []byte
		status  int
		text    string
	}{
		"cut short":  {whole[:len(whole)-40], 200, "breaks off in the middle"},
		"not packed": {[]byte("plain text\n"), 200, "plain text"},
		"empty":      {nil, 200, "0 lines"},
		"no gzip":    {append([]byte{0x1f, 0x8b}, "rubbish after the magic number"...), 502, "damaged"},
		"a bit flipped": {func() []byte {
			spoilt := append([]byte{}, whole...)
			spoilt[len(spoilt)-6] ^= 0xff // its checksum
			return spoilt
		}(), 200, "breaks off in the middle"},
	} {
		loc := f.run(t, at("trixie", "amd64", "p"+strings.ReplaceAll(name, " ", "-"), time.Minute), result.Result{Version: "1"}, "")
		f.put(t, loc, result.LogObject, test.content, store.Properties{})
		if answer, body := f.get(t, f.logLink(loc)); answer.StatusCode != test.status || !strings.Contains(body, test.text) {
			t.Errorf("%s: %s %s", name, answer.Status, body)
		}
	}
}
