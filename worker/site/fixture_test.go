package site

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/index"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/directory"
)

// now is the time at which all tests happen.
var now = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

// fixture is a site over a store that is a folder. Tests change its fields before they ask.
type fixture struct {
	*Site
	store   store.Store
	index   *index.Index
	running *Running
	depths  *staticDepths
	listing index.State
	broker  error
	server  *httptest.Server // the site
	swift   *httptest.Server // what the store looks like from outside
	clock   time.Time
}

type staticDepths struct {
	list []Depth
	err  error
}

func (s *staticDepths) Depths(context.Context) ([]Depth, error) { return s.list, s.err }

func newFixture(t *testing.T, external string) *fixture {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	folder, err := directory.New(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	x, err := index.Open(t.Context(), filepath.Join(t.TempDir(), "autopkgtest.db"), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	f := &fixture{store: folder, index: x, clock: now, depths: &staticDepths{}, listing: index.State{Passes: 1}}
	f.running = NewRunning(func() time.Time { return f.clock })
	f.swift = httptest.NewServer(asSwift(folder))
	t.Cleanup(f.swift.Close)
	for _, release := range []string{"bookworm", "trixie"} {
		if err := folder.CreateContainer(t.Context(), result.Container(release, nil, false), true); err != nil {
			t.Fatal(err)
		}
	}
	f.Site, err = New(Config{
		Index: x, Store: folder, StoreURL: f.swift.URL + "/v1/AUTH_test/", Releases: []string{"bookworm", "trixie"},
		Architectures: []string{"amd64", "arm64"}, ExternalURL: external, Running: f.running, Depths: f.depths,
		Listing: func() index.State { return f.listing }, Broker: func() error { return f.broker },
		Log: log, Now: func() time.Time { return f.clock },
	})
	if err != nil {
		t.Fatal(err)
	}
	f.server = httptest.NewServer(f.Site)
	t.Cleanup(f.server.Close)
	return f
}

// asSwift shows a store as Swift does to anybody, as far as our requests go.
func asSwift(s store.Store) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/AUTH_test/{container}/{object...}", func(w http.ResponseWriter, r *http.Request) {
		container, object := r.PathValue("container"), r.PathValue("object")
		w.Header().Set("X-Trans-Id", "secret")
		w.Header().Set("Set-Cookie", "a=b")
		if object == "" {
			q := r.URL.Query()
			limit, _ := strconv.Atoi(q.Get("limit"))
			entries, err := s.List(r.Context(), container, store.Query{Prefix: q.Get("prefix"), Delimiter: q.Get("delimiter"),
				Marker: q.Get("marker"), Limit: limit})
			if err != nil {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			for _, entry := range entries {
				_, _ = fmt.Fprintln(w, entry.Name)
			}
			return
		}
		body, properties, err := s.Get(r.Context(), container, object)
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		defer func() { _ = body.Close() }()
		content, _ := io.ReadAll(body)
		w.Header().Set("Content-Type", properties.ContentType)
		if properties.ContentEncoding != "" {
			w.Header().Set("Content-Encoding", properties.ContentEncoding)
		}
		w.Header().Set("Etag", `"tag"`)
		http.ServeContent(w, r, "", now, bytes.NewReader(content))
	})
	return mux
}

func (f *fixture) put(t *testing.T, loc result.Location, name string, content []byte, properties store.Properties) {
	t.Helper()
	body := bytes.NewReader(content)
	if err := f.store.Put(t.Context(), loc.Container, loc.Object(name), body, body.Size(), properties); err != nil {
		t.Fatal(err)
	}
}

// run stores a run as a worker does, and indexes it.
func (f *fixture) run(t *testing.T, loc result.Location, res result.Result, log string) result.Location {
	t.Helper()
	if res.Source == "" {
		res.Source = loc.Package
	}
	if log != "" {
		f.put(t, loc, result.LogObject, packed(t, log),
			store.Properties{ContentType: "text/plain; charset=UTF-8", ContentEncoding: "gzip"})
		f.put(t, loc, result.ArtifactsObject, []byte("not looked at"), store.Properties{ContentType: "application/gzip"})
	}
	var tar bytes.Buffer
	if err := res.WriteTar(&tar); err != nil {
		t.Fatal(err)
	}
	f.put(t, loc, result.TarObject, tar.Bytes(), store.Properties{ContentType: "application/x-tar"})
	if _, err := f.index.Ingest(t.Context(), f.store, loc); err != nil {
		t.Fatal(err)
	}
	return loc
}

func packed(t *testing.T, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write([]byte(text))
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// at is the place of a run that was published some time before now.
func at(release, arch, pkg string, before time.Duration) result.Location {
	return result.Location{
		Container: result.Container(release, nil, false), Release: release, Architecture: arch, Package: pkg,
		RunID: result.NewRunID(now.Add(-before), []byte(pkg), arch, release),
	}
}

// get asks the site for a path, without following to other addresses.
func (f *fixture) get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	return f.do(t, http.MethodGet, path, nil)
}

func (f *fixture) do(t *testing.T, method, path string, header http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, f.server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return answer, string(content)
}

func depth(c request.Context, release, arch string, ready, consumers int) Depth {
	return Depth{Queue: request.Queue{Context: c, Release: release, Architecture: arch}, Ready: ready, Consumers: consumers}
}

// progress is a status message.
func progress(release, arch, pkg, params string, seconds int64, tail string) queue.Status {
	return queue.Status{Release: release, Architecture: arch, Package: pkg, Running: true, Params: []byte(params),
		Duration: seconds, LogTail: tail}
}

// realLog is what autopkgtest 5.28 wrote of three tests.
const realLog = `autopkgtest [09:05:42]: starting date and time: 2026-11-22 09:05:42+0000
autopkgtest [09:05:42]: version 5.28
autopkgtest [09:05:42]: host worker1; command line: /usr/bin/autopkgtest --output-dir /out --apt-upgrade gzip -- unshare -r bookworm
autopkgtest [09:05:42]: @@@@@@@@@@@@@@@@@@@@ test bed setup
Get:1 http://archive.test/debian bookworm InRelease [151 kB]
Get:2 http://archive.test/debian bookworm/main Sources [9495 kB]
Fetched 18.4 MB in 3s (6128 kB/s)
Reading package lists...
autopkgtest [09:05:47]: testbed dpkg architecture: amd64
autopkgtest [09:05:47]: testbed running kernel: Linux 6.1.0-28-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1
autopkgtest [09:05:47]: @@@@@@@@@@@@@@@@@@@@ apt-source gzip
Get:1 http://archive.test/debian bookworm/main gzip 1.12-1 (dsc) [2086 B]
Get:2 http://archive.test/debian bookworm/main gzip 1.12-1 (tar) [825 kB]
autopkgtest [09:05:49]: testing package gzip version 1.12-1
autopkgtest [09:05:49]: build not needed
autopkgtest [09:05:49]: test simple-gzip: preparing testbed
Reading package lists...
Building dependency tree...
The following NEW packages will be installed:
  autopkgtest-satdep
0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.
autopkgtest [09:05:52]: test simple-gzip: [-----------------------
hello
<b>world</b> & <script>alert(1)</script>
autopkgtest [09:05:53]: test simple-gzip: -----------------------]
autopkgtest [09:05:53]: test simple-gzip:  - - - - - - - - - - results - - - - - - - - - -
simple-gzip          PASS (superficial)
autopkgtest [09:05:53]: test broken: preparing testbed
autopkgtest [09:05:53]: test broken: [-----------------------
one
two
autopkgtest [09:05:55]: test broken: -----------------------]
autopkgtest [09:05:55]: test broken:  - - - - - - - - - - results - - - - - - - - - -
broken               FAIL non-zero exit status 3
autopkgtest [09:05:55]: test broken:  - - - - - - - - - - stderr - - - - - - - - - -
two
autopkgtest [09:05:55]: test skippy: preparing testbed
autopkgtest [09:05:56]: test skippy: [-----------------------
nothing to do
autopkgtest [09:05:56]: test skippy: -----------------------]
autopkgtest [09:05:56]: test skippy:  - - - - - - - - - - results - - - - - - - - - -
skippy               SKIP exit status 77 and marked as skippable
autopkgtest [09:05:56]: @@@@@@@@@@@@@@@@@@@@ summary
simple-gzip          PASS (superficial)
broken               FAIL non-zero exit status 3
skippy               SKIP exit status 77 and marked as skippable
`

// demo fills a fixture with what a site has on an ordinary day.
func (f *fixture) demo(t *testing.T) {
	t.Helper()
	packages := []string{"gzip", "dpkg", "libpng1.6", "python3-defaults", "systemd", "glibc", "postgresql-17", "curl", "rust-coreutils"}
	releases, arches := []string{"bookworm", "trixie"}, []string{"amd64", "arm64"}
	exits := []int{0, 0, 4, 0, 8, 0, 2, 16, 0, 0, 4, 0, 20}
	for i := range 120 {
		pkg := packages[i%len(packages)]
		loc := at(releases[i/9%2], arches[i/18%2], pkg, time.Duration(i)*47*time.Minute+2*time.Minute)
		exit := exits[(i*7+i/9)%len(exits)]
		if i >= 90 { // one package with a long history, broken for some time
			pkg = "systemd"
			loc = at("trixie", "amd64", pkg, time.Duration(i-90)*29*time.Hour+5*time.Minute)
			exit = []int{4, 4, 16, 4, 0, 0, 2, 0, 4, 0, 0, 0, 8, 0, 0}[(i-90)%15]
		}
		triggers := []string{fmt.Sprintf("%s/1.12-%d", pkg, 1+i%5), fmt.Sprintf("glibc/2.36-9+deb12u%d", i%9),
			"perl/5.36.0-7", "gcc-12/12.2.0-14"}
		res := result.Result{ExitCode: exit, Version: "1.12-" + strconv.Itoa(1+i%5), Triggers: triggers[:1+i%4],
			Duration: time.Duration(11+i*i%4000) * time.Second, Summary: []byte(demoSummary(exit)),
			TestInfo:        []byte(demoInfo),
			TestbedPackages: []byte("adduser\t3.134\napt\t2.6.1\nbase-files\t12.4+deb12u8\nlibc6\t2.36-9+deb12u9\n"),
			Request: fmt.Appendf(nil, "%s\n"+
				`{"triggers": ["%s/1.12-1"], "submit-time": "2026-11-22 01:21:27", "request-id": "id-%d"}`, pkg, pkg, i),
		}
		if i%11 == 3 {
			res.Requester = "sally"
		}
		log := ""
		if i == 90 {
			log = realLog // once is enough
		}
		f.run(t, loc, res, log)
	}
	tail := strings.Join(strings.SplitAfter(realLog, "\n")[:12], "")
	for i, p := range []queue.Status{
		progress("trixie", "amd64", "systemd", `{"triggers": ["systemd/257.9-1", "dbus/1.16-2"], "requester": "sally"}`, 1312, tail),
		progress("bookworm", "amd64", "gzip", `{"triggers": ["gzip/1.12-2"]}`, 9, tail),
		progress("trixie", "arm64", "glibc", `{"triggers": ["glibc/2.41-12"]}`, 5+3600, tail),
	} {
		if i == 0 { // the others' workers do not tell theirs
			p.Handle, p.Worker = "20261122-090000-ab12cd34", "lab-1-00c0ffee"
		}
		if err := f.running.Update(p); err != nil {
			t.Fatal(i, err)
		}
	}
	f.depths.list = []Depth{
		depth(request.Normal, "bookworm", "amd64", 12, 1), depth(request.Huge, "bookworm", "amd64", 1480, 1),
		depth(request.PPA, "bookworm", "amd64", 0, 1), depth(request.Upstream, "bookworm", "amd64", 3, 1),
		depth(request.Normal, "bookworm", "arm64", 0, 0), depth(request.Huge, "bookworm", "arm64", 7, 0),
		depth(request.Normal, "trixie", "amd64", 0, 2), depth(request.Huge, "trixie", "amd64", 0, 2),
		depth(request.PPA, "trixie", "amd64", 0, 2), depth(request.Upstream, "trixie", "amd64", 0, 2),
		depth(request.Normal, "trixie", "arm64", 41, 1), depth(request.Huge, "trixie", "arm64", 0, 1),
	}
}

func demoSummary(exit int) string {
	switch exit {
	case 0:
		return "simple-gzip          PASS (superficial)\nupstream-tests       PASS\n"
	case 16, 20:
		return ""
	case 8:
		return "*                    SKIP no tests in this package\n"
	}
	return `simple-gzip          PASS (superficial)
broken               FAIL non-zero exit status 3
skippy               SKIP exit status 77 and marked as skippable
now-and-then         FLAKY non-zero exit status 1
`
}

const demoInfo = `{"virt_server": "autopkgtest-virt-unshare",
	"kernel_version": "Linux 6.1.0-28-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1",
	"nproc": "4", "cpu_model": "AMD EPYC 7763 64-Core Processor", "custom_environment": ["DEB_BUILD_OPTIONS=nocheck"]}`
