package site

import (
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/index"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	// The style sheet's hash changes with every change of the looks.
	got = regexp.MustCompile(`style\.css\?[0-9a-f]+`).ReplaceAllString(got, "style.css?HASH")
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (run the test with -update when that is meant): %s", path, diff)
	}
}

// failing is a run of the demo that failed.
var failing = at("trixie", "amd64", "systemd", 5*time.Minute)

func TestPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "http://results.test/")
	f.demo(t)
	for name, path := range map[string]string{
		"start.html":    "/",
		"packages.html": "/packages?q=g",
		"package.html":  "/packages/systemd",
		"history.html":  "/packages/s/systemd/trixie/amd64",
		"run.html":      "/packages/systemd/trixie/amd64/" + string(failing.RunID),
		"log.html":      "/packages/s/systemd/trixie/amd64/" + string(failing.RunID) + "/log",
		"running.html":  "/running",
		"empty.html":    "/packages/b/bash/trixie/arm64",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer, body := f.get(t, path)
			if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Fatalf("%s: %s %v", path, answer.Status, answer.Header)
			}
			golden(t, name, body)
		})
	}
}

func TestStatusAndPlace(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "http://results.test")
	f.demo(t)
	id := string(failing.RunID)
	for path, want := range map[string]struct {
		status int
		place  string // where it sends to
		text   string // that the page has
	}{
		"/packages/s/systemd/": {301, "/packages/s/systemd", ""},
		"/packages/":           {301, "/packages", ""},
		"/packages/s/systemd/trixie/amd64/" + id + "/": {301, "/packages/s/systemd/trixie/amd64/" + id, ""},
		"/running.shtml":        {301, "/running", ""},
		"/packages?q=curl":      {303, "/packages/c/curl", ""},
		"/packages?q=nosuch":    {200, "", "No package with"},
		"/packages?after=glibc": {200, "", "python3-defaults"},
		"/packages/b/bash":      {200, "", "No results yet for bash"},
		"/packages/s/systemd/trixie/amd64?before=20200101_000000_aaaaa@": {200, "", "There are no older results"},
		"/favicon.ico":         {204, "", ""},
		"/robots.txt":          {200, "", "Disallow"},
		"/static/style.css":    {200, "", "--ink"},
		"/static/icon.svg":     {200, "", "<svg"},
		"/running?refresh=off": {200, "", "Running"},

		"/nothing":                        {404, "", "no such page"},
		"/static/layout.html":             {404, "", "no such file"},
		"/static/..%2fsite.go":            {404, "", "no such file"},
		"/packages/x/systemd":             {404, "", "Addresses look like"},
		"/packages/s/systemd/jammy/amd64": {404, "", "jammy is not a release"},
		"/packages/s/systemd/trixie/hurd": {404, "", "hurd is not an architecture"},
		"/packages/s/systemd/trixie/amd64/20200101_000000_aaaaa@":     {404, "", "no such run"},
		"/packages/s/systemd/trixie/amd64/20200101_000000_aaaaa@/log": {404, "", "no such run"},
		"/packages/s/systemd/trixie/amd64?before=x":                   {400, "", "not a run id"},
		"/packages?q=" + strings.Repeat("x", 200):                     {400, "", "as long as this"},
		"/packages?q=a&q=b":    {400, "", "more than once"},
		"/packages?colour=red": {400, "", "unknown parameter"},
		"/packages?q=%zz":      {400, "", "cannot be read"},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			answer, body := f.get(t, path)
			if answer.StatusCode != want.status || answer.Header.Get("Location") != want.place || !strings.Contains(body, want.text) {
				t.Errorf("%s, location %q: %s", answer.Status, answer.Header.Get("Location"), body)
			}
		})
	}
	t.Run("other methods", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{"/", "/packages/s/systemd", "/results/autopkgtest-trixie/x", "/api/v1/results"} {
			for _, method := range []string{"POST", "PUT", "DELETE"} {
				if answer, _ := f.do(t, method, path, nil); answer.StatusCode != http.StatusMethodNotAllowed {
					t.Errorf("%s %s: %s", method, path, answer.Status)
				}
			}
			if answer, body := f.do(t, "HEAD", path, nil); answer.StatusCode == http.StatusMethodNotAllowed || body != "" {
				t.Errorf("HEAD %s: %s %q", path, answer.Status, body)
			}
		}
	})
}

func TestHeadersEverywhere(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "http://results.test")
	for _, path := range []string{"/", "/nothing", "/packages", "/running", "/api/v1/results", "/healthz", "/static/style.css",
		"/results/autopkgtest-trixie/", "/results/other/x"} {
		answer, _ := f.get(t, path)
		policy := answer.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "script-src") {
			t.Errorf("%s: policy %q", path, policy)
		}
		if answer.Header.Get("X-Content-Type-Options") != "nosniff" || answer.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %v", path, answer.Header)
		}
	}
}

// Whatever a test, a worker or a requester writes reaches a page as text.
func TestNothingFromOutsideIsMarkup(t *testing.T) {
	t.Parallel()
	const evil = `<script>alert("x")</script><img src=x onerror=alert(1)>`
	f := newFixture(t, "http://results.test")
	loc := f.run(t, at("trixie", "amd64", "green", time.Minute), result.Result{
		ExitCode: 4, Version: "1" + evil[:8], Triggers: []string{"green/" + evil[:8] + "1"}, Requester: evil, Env: []string{"A=" + evil},
		Summary:  []byte(evil + " FAIL " + evil + "\n" + strings.ReplaceAll(evil, " ", "") + " FAIL " + evil + "\n"),
		Request:  []byte("green\n" + `{"triggers": ["green/1"], "testname": "</pre><script>", "x": "<script>"}`),
		TestInfo: []byte(`{"virt_server": "<script>", "kernel_version": "<script>"}`), TestbedPackages: []byte("<script>\t<script>\n"),
	}, "autopkgtest [10:00:00]: @@@@@@@@@ "+evil+"\n"+evil+"\nautopkgtest [10:00:00]: test <script>: [-------\n")
	status := progress("trixie", "amd64", "green", `{"triggers": ["<script>"], "requester": "<script>"}`, 1, evil)
	if err := f.running.Update(status); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/running", "/packages?q=" + "%3Cscript%3E", "/packages/g/green", "/packages/g/green/trixie/amd64",
		f.runLink(loc), f.logLink(loc), "/packages/%3Cscript%3E", "/packages/g/green/%3Cscript%3E/amd64"} {
		_, body := f.get(t, path)
		if strings.Contains(body, "<script") || strings.Contains(body, "<img src=x") {
			t.Errorf("%s: %s", path, body)
		}
	}
}

func TestBehindAFolder(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "https://example.test/ci/")
	f.demo(t)
	link := regexp.MustCompile(`(?:href|src|action)="([^"#?][^"]*)"`)
	for _, path := range []string{"/", "/packages", "/packages/s/systemd", f.runLink(failing)[len("/ci"):], "/running", "/nothing"} {
		_, body := f.get(t, path)
		for _, match := range link.FindAllStringSubmatch(body, -1) {
			if !strings.HasPrefix(match[1], "/ci/") {
				t.Errorf("%s links to %s", path, match[1])
			}
		}
	}
}

func TestPagesWithoutBrokerStoreOrIndex(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "http://results.test")
	f.demo(t)
	f.broker = store.ErrUnavailable
	f.depths.err = ErrNoBroker
	f.listing = index.State{Found: 1234}
	for path, texts := range map[string][]string{
		"/":                             {"message broker does not answer", "not known at the moment", "1\u202f234 results"},
		"/running":                      {"how long the queues are is not known"},
		"/packages/b/bash":              {"No results yet for bash"},
		"/api/v1/queues":                {`{"error":"The message broker does not answer`},
		"/static/running.json":          {"systemd"},
		"/packages/b/bash/trixie/amd64": {"Request one with"},
	} {
		answer, body := f.get(t, path)
		if broken := strings.HasPrefix(path, "/api"); broken != (answer.StatusCode == http.StatusServiceUnavailable) {
			t.Errorf("%s: %s", path, answer.Status)
		}
		for _, text := range texts {
			if !strings.Contains(body, text) {
				t.Errorf("%s lacks %q: %s", path, text, body)
			}
		}
	}

	f.clock = f.clock.Add(time.Hour) // no status message came for long
	for _, path := range []string{"/", "/running"} {
		if _, body := f.get(t, path); strings.Contains(body, "No test runs") || !strings.Contains(body, "what runs") &&
			!strings.Contains(body, "What runs") {
			t.Errorf("%s claims to know what runs: %s", path, body)
		}
	}

	f.listing = index.State{Passes: 3, Err: store.ErrUnavailable}
	f.Store = broken{f.store}
	if answer, body := f.get(t, f.runLink(failing)); answer.StatusCode != http.StatusOK ||
		!strings.Contains(body, "does not tell the rest") || !strings.Contains(body, "a test failed") ||
		!strings.Contains(body, "result store cannot be read") {
		t.Errorf("run page: %s %s", answer.Status, body)
	}
	if answer, body := f.get(t, f.logLink(failing)); answer.StatusCode != http.StatusBadGateway ||
		!strings.Contains(body, "try again") || strings.Contains(body, "on purpose") {
		t.Errorf("log page: %s %s", answer.Status, body)
	}
	if answer, _ := f.get(t, "/packages/s/systemd"); answer.StatusCode != http.StatusOK {
		t.Errorf("package page: %s", answer.Status)
	}
}
