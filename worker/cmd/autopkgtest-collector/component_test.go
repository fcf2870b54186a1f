//go:build component

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
)

// The rights that the package's comment tells the deployer to grant, and no more.
const (
	configure = `^(complete-listener|running-listener|teststatus\.fanout)$`
	write     = `^(complete-listener|running-listener)$`
	read      = `^(complete-listener|running-listener|teststatus\.fanout|testcomplete\.fanout)$`
)

// world is a broker and a store with a release of its own, and the files of a collector between them.
type world struct {
	broker  *queuetest.Broker
	proxy   *queuetest.Proxy
	session *queue.Session // of a worker
	store   store.Store
	release string
	folder  string
	url     string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	path := os.Getenv("AUTOPKGTEST_TEST_SWIFT")
	if path == "" {
		t.Fatal("AUTOPKGTEST_TEST_SWIFT is not set: component tests need a real Swift, run them with `make test`")
	}
	account, err := config.ReadStore(path)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		broker: queuetest.New(t), store: swift.New(account), folder: t.TempDir(), url: "http://" + freeAddress(t),
		release: "t" + strings.ToLower(rand.Text()[:10]),
	}
	if err := w.store.CreateContainer(t.Context(), w.container(), true); err != nil {
		t.Fatal(err)
	}
	w.session, err = queue.Dial(t.Context(), w.broker.Admin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.session.Close() })
	if err := w.session.DeclareExchanges(t.Context()); err != nil {
		t.Fatal(err)
	}
	var collector config.Broker
	w.proxy, collector = queuetest.Through(t, w.broker.User(t, "collector", configure, write, read))
	credentials := filepath.Join(w.folder, "credentials")
	if err := os.WriteFile(credentials, collector.File(config.KeyURI), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := config.Collector{
		BrokerCredentials: credentials, StoreURL: account.StorageURL, Releases: []string{w.release},
		Architectures: []string{"amd64", "arm64"}, Listen: strings.TrimPrefix(w.url, "http://"), Database: w.database(),
		ExternalURL: w.url,
	}
	if err := os.WriteFile(w.configuration(), conf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) container() string     { return result.Container(w.release, nil, false) }
func (w *world) database() string      { return filepath.Join(w.folder, "autopkgtest.db") }
func (w *world) configuration() string { return filepath.Join(w.folder, "collector.conf") }

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// start runs a collector until stop, or the end of the test, and waits until it answers.
func (w *world) start(t *testing.T, listEvery time.Duration) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	go func() { done <- collect(ctx, w.configuration(), listEvery, log) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the collector ended with %v", err)
		}
	}
	t.Cleanup(stop)
	queuetest.Eventually(t, "the collector is ready", func() bool { return w.ready() == http.StatusOK })
	return stop
}

func (w *world) ready() int {
	answer, err := http.Get(w.url + "/readyz")
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

func (w *world) get(t *testing.T, path string) string {
	t.Helper()
	answer, err := http.Get(w.url + path)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// runs are what the site knows, newest first.
func (w *world) runs(t *testing.T) []string {
	t.Helper()
	var answer struct {
		Results []struct {
			Package, Architecture, Version, Class string
			Run                                   string `json:"run_id"`
			Duration                              int
		}
	}
	if err := json.Unmarshal([]byte(w.get(t, "/api/v1/results?limit=1000")), &answer); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range answer.Results {
		lines = append(lines, fmt.Sprintf("%s %s %s %s %d %s", r.Package, r.Architecture, r.Version, r.Class, r.Duration, r.Run))
	}
	return lines
}

func (w *world) at(pkg, arch string, n int) result.Location {
	published := time.Date(2026, 11, 20, 0, 0, n, 0, time.UTC)
	return result.Location{Container: w.container(), Release: w.release, Architecture: arch, Package: pkg,
		RunID: result.NewRunID(published, []byte(pkg), arch, w.release)}
}

// put stores a result that passed after 7 seconds.
func (w *world) put(t *testing.T, loc result.Location) result.Result {
	t.Helper()
	res := result.Result{Source: loc.Package, Version: "1.0-1", Duration: 7 * time.Second, Triggers: []string{loc.Package + "/1.0-1"},
		Request: fmt.Appendf(nil, "%s\n{\"request-id\": \"%s\"}", loc.Package, loc.RunID)}
	var tar bytes.Buffer
	if err := res.WriteTar(&tar); err != nil {
		t.Fatal(err)
	}
	body := bytes.NewReader(tar.Bytes())
	if err := w.store.Put(t.Context(), loc.Container, loc.Object(result.TarObject), body, body.Size(), store.Properties{}); err != nil {
		t.Fatal(err)
	}
	return res
}

// announce publishes a completion message about a result.
func (w *world) announce(t *testing.T, loc result.Location, claimed result.Result) {
	t.Helper()
	body, err := queue.Completion{Location: loc, ExitCode: claimed.ExitCode, Version: claimed.Version, Duration: claimed.Duration,
		Triggers: claimed.Triggers}.Body()
	if err != nil {
		t.Fatal(err)
	}
	w.publish(t, queue.CompletionExchange, body)
}

func (w *world) publish(t *testing.T, exchange string, body []byte) {
	t.Helper()
	if err := w.session.Publish(t.Context(), exchange, "", body, true); err != nil {
		t.Fatal(err)
	}
}

func (w *world) eventually(t *testing.T, runs ...string) {
	t.Helper()
	slices.Sort(runs)
	var got []string
	defer func() {
		if t.Failed() {
			t.Logf("the site knows: %q", got)
		}
	}()
	queuetest.Eventually(t, fmt.Sprintf("the site knows exactly %q", runs), func() bool {
		got = w.runs(t)
		slices.Sort(got)
		return slices.Equal(got, runs)
	})
}

func TestAnnouncedResultsAppear(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(t, time.Hour) // listing finds nothing in this test
	queuetest.Eventually(t, "the first listing is over", func() bool { return !strings.Contains(w.get(t, "/"), "is being built") })
	loc := w.at("green", "amd64", 1)
	res := w.put(t, loc)

	// What cannot be read, what is not ours and what is not there is passed over.
	w.publish(t, queue.CompletionExchange, []byte("{rubbish"))
	w.publish(t, queue.StatusExchange, []byte("rubbish"))
	w.announce(t, w.at("nothing", "amd64", 2), res)
	private := loc
	private.Container = "private-" + w.container()
	w.announce(t, private, res)

	// A message that lies about an object that exists: the object is right.
	lie := res
	lie.ExitCode, lie.Version, lie.Duration = 4, "6.6-6", time.Hour
	w.announce(t, loc, lie)
	w.announce(t, loc, res)
	line := fmt.Sprintf("green amd64 1.0-1 pass 7 %s", loc.RunID)
	w.eventually(t, line)

	// By the time that a later message is through, all before it are.
	last := w.at("blue", "arm64", 3)
	w.announce(t, last, w.put(t, last))
	w.eventually(t, line, fmt.Sprintf("blue arm64 1.0-1 pass 7 %s", last.RunID))
	if body := w.get(t, "/api/v1/results?request="+string(last.RunID)); !strings.Contains(body, `"package":"blue"`) {
		t.Errorf("by request: %s", body)
	}
	for _, path := range []string{"/packages/g/green", "/packages/g/green/" + w.release + "/amd64",
		"/packages/g/green/" + w.release + "/amd64/" + string(loc.RunID)} {
		if body := w.get(t, path); !strings.Contains(body, "1.0-1") {
			t.Errorf("%s: %s", path, body)
		}
	}
	if body := w.get(t, "/results/"+w.container()+"/?format=plain&delimiter=%40"); body != last.Dir()+"\n"+loc.Dir()+"\n" &&
		body != loc.Dir()+"\n"+last.Dir()+"\n" {
		t.Errorf("listing: %q", body)
	}
	if body := w.get(t, "/results/"+w.container()+"/"+loc.Object(result.TarObject)); !strings.Contains(body, "testpkg-version") {
		t.Errorf("result.tar: %q", body)
	}
}

func TestLostMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put(t, w.at("green", "amd64", 1))
	w.start(t, time.Second)
	first := fmt.Sprintf("green amd64 1.0-1 pass 7 %s", w.at("green", "amd64", 1).RunID)
	w.eventually(t, first) // it was there before the collector
	w.put(t, w.at("blue", "amd64", 2))
	w.eventually(t, first, fmt.Sprintf("blue amd64 1.0-1 pass 7 %s", w.at("blue", "amd64", 2).RunID))
}

// dump is what the tables hold, without the ids that depend on the order of arrival.
func dump(t *testing.T, path string) []string {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), `SELECT concat_ws('|', release, arch, package, run_id, version, triggers, duration, exitcode,
		requester, env) FROM test JOIN result ON id = test_id
		UNION ALL SELECT concat_ws('|', 'request', request_id, container, release, arch, package, run_id) FROM request_run ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var lines []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestDeletedIndexComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stop := w.start(t, time.Hour)
	const runs = 40
	for i := range runs {
		loc := w.at(fmt.Sprintf("p%d", i%7), []string{"amd64", "arm64"}[i%2], runs-i)
		w.announce(t, loc, w.put(t, loc))
	}
	queuetest.Eventually(t, "all results are known", func() bool { return len(w.runs(t)) == runs })
	stop()
	want := dump(t, w.database())
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(w.database() + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	stop = w.start(t, time.Hour)
	queuetest.Eventually(t, "all results are known again", func() bool { return len(w.runs(t)) == runs })
	stop()
	if diff := cmp.Diff(want, dump(t, w.database())); diff != "" || len(want) != 2*runs {
		t.Errorf("%d lines before: %s", len(want), diff)
	}
}

func TestRunningAndQueues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	name := "debci-" + w.release + "-amd64"
	w.broker.DeclareQueue(t, name)
	w.broker.DeclareQueue(t, "debci-huge-"+w.release+"-arm64")
	w.start(t, time.Hour)
	for range 3 {
		if err := w.session.Publish(t.Context(), "", name, []byte("green\n{}"), true); err != nil {
			t.Fatal(err)
		}
	}
	queuetest.Eventually(t, "the queues are shown", func() bool {
		body := w.get(t, "/api/v1/queues")
		line := `{"queue":"` + name + `","context":"","release":"` + w.release + `","architecture":"amd64","ready":3,"consumers":0}`
		return strings.Contains(body, line) && strings.Count(body, `"queue"`) == 2
	})
	status := queue.Status{Release: w.release, Architecture: "amd64", Package: "green", Running: true,
		Params: []byte(`{"triggers": ["green/1"]}`), Duration: 20, LogTail: "a line", Handle: "20261125-152251-ab12cd34", Worker: "lab-1"}
	for _, running := range []bool{true, false} {
		status.Running = running
		message, err := status.Message()
		if err != nil {
			t.Fatal(err)
		}
		if err := w.session.PublishMessage(t.Context(), queue.StatusExchange, "", message); err != nil {
			t.Fatal(err)
		}
		queuetest.Eventually(t, fmt.Sprintf("green is shown as running: %v", running), func() bool {
			return strings.Contains(w.get(t, "/static/running.json"), `"green"`) == running
		})
		if handle := `"handle":"20261125-152251-ab12cd34","worker":"lab-1"`; running != strings.Contains(w.get(t, "/api/v1/running"), handle) {
			t.Errorf("running %v, listed: %s", running, w.get(t, "/api/v1/running"))
		}
	}
}

func TestBrokerAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(t, time.Second)
	w.proxy.Freeze()
	w.proxy.Cut()
	queuetest.Eventually(t, "the site says that the broker is away", func() bool {
		return w.ready() == http.StatusServiceUnavailable && strings.Contains(w.get(t, "/"), "message broker does not answer")
	})
	loc := w.at("green", "amd64", 1)
	w.put(t, loc)
	line := fmt.Sprintf("green amd64 1.0-1 pass 7 %s", loc.RunID)
	w.eventually(t, line) // by listing
	if body := w.get(t, "/api/v1/queues"); !strings.Contains(body, "error") {
		t.Errorf("queues: %s", body)
	}
	w.proxy.Thaw()
	w.proxy.Cut()
	queuetest.Eventually(t, "the site is ready again", func() bool { return w.ready() == http.StatusOK })
	other := w.at("blue", "amd64", 2)
	w.announce(t, other, w.put(t, other))
	w.eventually(t, line, fmt.Sprintf("blue amd64 1.0-1 pass 7 %s", other.RunID))
}
