package openstacktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/cloudrc"
)

// Seen is a request that went through Between.
type Seen struct {
	Method string
	// Service is the catalog's type of the service, or "identity"; Region is empty for identity.
	Service, Region string
	// Path is the service's own: /servers/detail, /v2.0/security-groups.
	Path, Query string
	// Status is what was answered; 0 while it is not.
	Status int
}

// String is how failures of tests show it.
func (s Seen) String() string {
	return fmt.Sprintf("%s %s %s%s (%d)", s.Method, s.Service, s.Region, s.Path, s.Status)
}

// Between stands in front of the real services. The catalog that passes it names it for all of them, so that whoever logs in through it
// never speaks to them directly.
type Between struct {
	server *httptest.Server
	rc     string // the file of the real cloud

	mu      sync.Mutex
	targets map[string]*url.URL // by path prefix
	seen    []Seen
	issued  map[string]bool // tokens
	spoil   func(Seen, http.ResponseWriter) bool
	lose    func(Seen) bool
}

// NewBetween starts one in front of the cloud that a user reaches with his RC file for a region.
func NewBetween(t testing.TB, user, region string) *Between {
	t.Helper()
	return newBetween(t, RCFile(t, user, region))
}

func newBetween(t testing.TB, rc string) *Between {
	t.Helper()
	b := &Between{rc: rc, targets: map[string]*url.URL{}}
	identity, err := url.Parse(ReadRC(t, b.rc).AuthURL)
	if err != nil {
		t.Fatal(err)
	}
	b.targets["/identity"] = &url.URL{Scheme: identity.Scheme, Host: identity.Host}
	b.server = httptest.NewServer(http.HandlerFunc(b.pass))
	t.Cleanup(b.server.Close)
	return b
}

// AuthURL is where to log in.
func (b *Between) AuthURL() string { return b.server.URL + "/identity/v3" }

var authLine = regexp.MustCompile(`(?m)^export OS_AUTH_URL=.*$`)

// RCFile is the path of an RC file that leads through here, in the test's folder. change edits its text, if it is set.
func (b *Between) RCFile(t testing.TB, change func(string) string) string {
	t.Helper()
	content, err := os.ReadFile(b.rc)
	if err != nil {
		t.Fatal(err)
	}
	text := authLine.ReplaceAllLiteralString(string(content), "export OS_AUTH_URL="+b.AuthURL())
	if change != nil {
		text = change(text)
	}
	name := filepath.Join(t.TempDir(), "cloud.rc")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Cloud is what is reached through here.
func (b *Between) Cloud(t testing.TB) cloudrc.Cloud {
	t.Helper()
	return ReadRC(t, b.RCFile(t, nil))
}

// Spoil has answer decide about each request before it is passed on: true says that it has answered. nil ends that.
func (b *Between) Spoil(answer func(Seen, http.ResponseWriter) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spoil = answer
}

// Lose has which decide about each request whether its answer is lost: the cloud does what it was asked, and nobody hears of it. It does
// so when which returns, also if whoever asked has died meanwhile. nil ends that.
func (b *Between) Lose(which func(Seen) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lose = which
}

// Revoke has the cloud accept no token any more that it has given to whoever logged in through here.
func (b *Between) Revoke() error {
	b.mu.Lock()
	issued, identity := b.issued, *b.targets["/identity"]
	b.issued = nil
	b.mu.Unlock()
	var failed error
	for token := range issued {
		req, err := http.NewRequest(http.MethodDelete, identity.String()+"/v3/auth/tokens", nil)
		if err != nil {
			return err
		}
		req.Header.Set("X-Auth-Token", token) // which may do so to itself
		req.Header.Set("X-Subject-Token", token)
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusNoContent {
				err = fmt.Errorf("revoke a token: %s", resp.Status)
			}
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// Cut ends a connection without an answer, for Spoil.
func Cut(http.ResponseWriter) { panic(http.ErrAbortHandler) }

// Requests are those that went through since the last Forget, in the order of their arrival.
func (b *Between) Requests() []Seen {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.seen)
}

// Count is how many requests there were of a method at a service whose path ends so.
func (b *Between) Count(method, service, ending string) (count int) {
	for _, s := range b.Requests() {
		if s.Method == method && s.Service == service && strings.HasSuffix(s.Path, ending) {
			count++
		}
	}
	return count
}

// Forget begins the list of requests anew.
func (b *Between) Forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = nil
}

func (b *Between) pass(w http.ResponseWriter, req *http.Request) {
	b.mu.Lock()
	prefix, target := b.target(req.URL.Path)
	if target == nil {
		b.mu.Unlock()
		http.Error(w, "nothing of the catalog is at "+req.URL.Path, http.StatusTeapot)
		return
	}
	place := strings.Split(strings.Trim(prefix, "/"), "/")
	seen := Seen{Method: req.Method, Service: place[0], Path: strings.TrimPrefix(req.URL.Path, prefix), Query: req.URL.RawQuery}
	if len(place) > 1 {
		seen.Region = place[1]
	}
	index := len(b.seen)
	b.seen = append(b.seen, seen)
	spoil, lose := b.spoil, b.lose
	b.mu.Unlock()
	recorder := &recorder{ResponseWriter: w, noted: func(status int) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if index < len(b.seen) {
			b.seen[index].Status = status
		}
	}}
	if spoil != nil && spoil(seen, recorder) {
		return
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
			r.Out.URL.Path = strings.TrimSuffix(target.Path, "/") + seen.Path
			r.Out.Host = target.Host
			r.Out.Header.Del("Accept-Encoding") // answers are read here
		},
		ModifyResponse: b.rewrite,
	}
	if lose != nil {
		// The cloud goes on with what it was asked, also when whoever asked is gone.
		body, err := io.ReadAll(req.Body)
		if err != nil {
			Cut(w)
		}
		req = req.WithContext(context.WithoutCancel(req.Context()))
		req.Body = io.NopCloser(bytes.NewReader(body))
		if lose(seen) {
			proxy.ServeHTTP(httptest.NewRecorder(), req)
			Cut(w)
		}
	}
	proxy.ServeHTTP(recorder, req)
}

// target finds whose path it is; the longest prefix counts.
func (b *Between) target(path string) (string, *url.URL) {
	prefixes := slices.Collect(maps.Keys(b.targets))
	slices.SortFunc(prefixes, func(x, y string) int { return len(y) - len(x) })
	for _, prefix := range prefixes {
		if path == prefix || strings.HasPrefix(path, prefix+"/") {
			return prefix, b.targets[prefix]
		}
	}
	return "", nil
}

// rewrite has answers name this place for the services that they name.
func (b *Between) rewrite(resp *http.Response) error {
	if token := resp.Header.Get("X-Subject-Token"); token != "" && resp.Request.Method == http.MethodPost {
		b.mu.Lock()
		if b.issued == nil {
			b.issued = map[string]bool{}
		}
		b.issued[token] = true
		b.mu.Unlock()
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		return nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if bytes.Contains(body, []byte(`"catalog"`)) {
		if body, err = b.learn(body); err != nil {
			return err
		}
	}
	b.mu.Lock()
	for prefix, target := range b.targets {
		own := target.Scheme + "://" + target.Host + strings.TrimSuffix(target.Path, "/")
		body = bytes.ReplaceAll(body, []byte(own), []byte(b.server.URL+prefix))
	}
	b.mu.Unlock()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// learn takes the services out of a catalog.
func (b *Between) learn(body []byte) ([]byte, error) {
	var answer map[string]any
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	holder, _ := answer["token"].(map[string]any)
	if holder == nil {
		holder = answer
	}
	entries, _ := holder["catalog"].([]any)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, one := range entries {
		entry, _ := one.(map[string]any)
		service, _ := entry["type"].(string)
		endpoints, _ := entry["endpoints"].([]any)
		for _, one := range endpoints {
			endpoint, _ := one.(map[string]any)
			address, _ := endpoint["url"].(string)
			region, _ := endpoint["region"].(string)
			target, err := url.Parse(address)
			if err != nil || service == "identity" {
				continue
			}
			prefix := "/" + service + "/" + region
			b.targets[prefix] = target
			endpoint["url"] = b.server.URL + prefix
		}
	}
	return json.Marshal(answer)
}

// recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	noted func(int)
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	r.noted(status)
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController find the writer below.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
