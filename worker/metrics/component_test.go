//go:build component

package metrics

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/run"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// fragile are testbeds that fail at the first run of each package, and then let its tests pass.
type fragile struct{ failed map[string]bool }

func (f fragile) Run(_ context.Context, job testbed.Job) (testbed.Outcome, error) {
	err := errors.Join(os.MkdirAll(job.OutputDir, 0o755),
		os.WriteFile(filepath.Join(job.OutputDir, "log"), []byte("autopkgtest [01:02:03]: starting\n"), 0o644),
		os.WriteFile(filepath.Join(job.OutputDir, "testpkg-version"), []byte(job.Request.Package+" 1\n"), 0o644))
	if again := f.failed[job.Request.Package]; !again {
		f.failed[job.Request.Package] = true
		return testbed.Outcome{ExitCode: 16, Duration: time.Second}, err
	}
	return testbed.Outcome{Duration: 90 * time.Second}, err
}

func (fragile) Ready(request.Queue) error                     { return nil }
func (fragile) Canary(context.Context, request.Queue) error   { return nil }
func (fragile) Remove(_ context.Context, folder string) error { return os.RemoveAll(folder) }

// scrape reads all samples, by name and labels.
func scrape(t *testing.T, url string) (samples map[string]float64, text string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	content, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("a scrape: %s, %v", answer.Status, err)
	}
	samples = map[string]float64{}
	for line := range strings.Lines(string(content)) {
		series, value, found := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, namespace+"_"+subsystem+"_")), " ")
		if number, err := strconv.ParseFloat(value, 64); found && err == nil {
			samples[series] = number
		}
	}
	return samples, string(content)
}

// A request that is run and one that cannot be, with a real broker and a real store: what a scrape tells of them.
func TestCountersMove(t *testing.T) {
	path := os.Getenv("AUTOPKGTEST_TEST_SWIFT")
	if path == "" {
		t.Fatal("AUTOPKGTEST_TEST_SWIFT is not set: this test needs a real store, `make test` starts one")
	}
	account, err := config.ReadStore(path)
	if err != nil {
		t.Fatal(err)
	}
	q := request.Queue{Release: "rel" + strings.ToLower(rand.Text()[:8]), Architecture: "amd64"}
	broker := queuetest.New(t)
	broker.DeclareQueue(t, q.Name())
	session, err := queue.Dial(t.Context(), broker.Admin)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close() }()

	w := New("stub")
	settings := run.Settings{
		Queues: []request.Queue{q}, Slots: 1, StateDirectory: t.TempDir(), Images: t.TempDir(), Timeout: time.Hour,
		DrainTimeout: time.Minute, RetryPause: time.Millisecond, Observer: w,
	}
	worker, err := run.New(settings, w.Testbeds(fragile{map[string]bool{}}), w.Store(swift.New(account)),
		slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	w.Watch(worker.Look, func() map[request.Queue]testbed.BreakerState { return nil }, func() []testbed.Place { return nil })
	server := httptest.NewServer(w.Handler())
	defer server.Close()
	before, _ := scrape(t, server.URL)
	if before["broker_connected"] != 0 || before["queues_not_consumed"] != 1 || before["slots_free"] != 1 {
		t.Errorf("before the start: %v", before)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- worker.Run(t.Context(), w.Dialer(func(ctx context.Context) (*queue.Session, error) {
			return queue.Dial(ctx, broker.Admin)
		}))
	}()
	const name = "secretive-package"
	for _, body := range []string{name + "\n{\"triggers\": [\"green/1\"]}", name + "\n{"} {
		if err := session.Publish(t.Context(), "", q.Name(), []byte(body), true); err != nil {
			t.Fatal(err)
		}
	}
	labels := fmt.Sprintf(`arch="amd64",%%srelease="%s"`, q.Release)
	series := func(metric, between string) string { return metric + "{" + fmt.Sprintf(labels, between) + "}" }
	passed, refused := series("requests_ended_total", `outcome="pass",`), series("requests_ended_total", `outcome="rejected",`)
	var got map[string]float64
	var text string
	queuetest.Eventually(t, "both requests are counted", func() bool {
		got, text = scrape(t, server.URL)
		return got[passed] == 1 && got[refused] == 1
	})
	for metric, want := range map[string]float64{
		series("requests_taken_total", `context="normal",`):                                            2,
		`retries_total{` + strings.Replace(fmt.Sprintf(labels, ""), ",", `,backend="stub",`, 1) + "}":  1,
		`runs_total{arch="amd64",backend="stub",outcome="testbed_failed",release="` + q.Release + `"}`: 1,
		`runs_total{arch="amd64",backend="stub",outcome="ended",release="` + q.Release + `"}`:          1,
		series("run_seconds_sum", ""):                     91,
		"announce_seconds_count":                          1,
		"broker_connected":                                1,
		"broker_sessions_total":                           1,
		"queues_not_consumed":                             0,
		"spool_results":                                   0,
		"rejected_in_folder":                              1, // there is no exchange for it
		`store_calls_total{operation="put",outcome="ok"}`: got[`store_call_seconds_count{operation="put"}`] - got[`store_calls_total{operation="put",outcome="not_found"}`],
	} {
		if value, there := got[metric]; !there || value != want {
			t.Errorf("%s is %v (there: %t), want %v", metric, value, there, want)
		}
	}
	if got["store_written_bytes_total"] < 1000 {
		t.Errorf("%v bytes stored", got["store_written_bytes_total"])
	}
	if strings.Contains(text, name) || strings.Contains(text, account.Password.Reveal()) {
		t.Error("a scrape tells the package, or a password")
	}
	worker.Drain()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
