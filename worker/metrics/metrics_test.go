package metrics

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/run"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	noble = request.Queue{Release: "noble", Architecture: "amd64"}
	huge  = request.Queue{Context: request.Huge, Release: "noble", Architecture: "amd64"}
	jammy = request.Queue{Context: request.PPA, Release: "jammy", Architecture: "arm64"}
)

// view is a worker with a bit of everything.
func view() run.View {
	return run.View{
		Slots: 4, Busy: 3, States: map[run.State]int{run.Run: 2, run.Prepare: 1, run.Store: 5},
		Tests: map[request.Queue]int{noble: 2}, Queues: []request.Queue{noble, huge, jammy},
		NotReady: map[request.Queue]error{jammy: testbed.ErrOpen}, Waiting: 1, Connected: true,
		Spool:  run.SpoolView{Results: 5, Limit: 16, Bytes: 12345, Oldest: time.Now().Add(-time.Hour), Full: true},
		Leases: run.LeaseView{Alive: 6, Late: 1, Lost: 1}, Rejected: 2, Ahead: 1,
	}
}

func breakers() map[request.Queue]testbed.BreakerState {
	return map[request.Queue]testbed.BreakerState{
		noble: testbed.BreakerClosed, {Release: "jammy", Architecture: "arm64"}: testbed.BreakerProbing,
		{Release: "xenial", Architecture: "amd64"}: testbed.BreakerOpen, // not served
	}
}

func places() []testbed.Place {
	return []testbed.Place{
		{Name: "lcy01", State: testbed.BreakerClosed, Room: 7}, {Name: "lgw01", State: testbed.BreakerOpen, Room: -1, Reason: testbed.ErrOpen},
	}
}

// busyWorker has counted something of every kind.
func busyWorker(t *testing.T) *Worker {
	t.Helper()
	w := New("unshare")
	w.Watch(view, breakers, places)
	w.Taken(huge)
	w.Ended(noble, run.Rejected)
	w.Retried(noble)
	w.Moved(noble, 2)
	w.Announced(noble, time.Second)
	w.Failed(run.Store)
	w.Unheard()
	_, _ = w.Testbeds(stubTestbeds{}).Run(t.Context(), testbed.Job{Queue: noble})
	_, _ = w.Store(stubStore{}).Containers(t.Context())
	_, _ = w.Dialer(func(context.Context) (*queue.Session, error) { return nil, nil })(t.Context())
	return w
}

type stubTestbeds struct {
	run.Testbeds
	outcome testbed.Outcome
	err     error
}

func (s stubTestbeds) Run(context.Context, testbed.Job) (testbed.Outcome, error) {
	return s.outcome, s.err
}

type stubStore struct {
	store.Store
	err error
}

func (s stubStore) Containers(context.Context) ([]string, error) { return nil, s.err }

func (s stubStore) Put(context.Context, string, string, io.ReadSeeker, int64, store.Properties) error {
	return s.err
}

// ours are the lines of a scrape that are of this package, without the values.
func ours(t *testing.T, w *Worker) []string {
	t.Helper()
	answer := httptest.NewRecorder()
	w.Handler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	var lines []string
	for line := range strings.Lines(answer.Body.String()) {
		if strings.Contains(line, namespace+"_") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

var sample = regexp.MustCompile(`^(\w+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? \S+$`)

// labelNames are those of each metric in a scrape.
func labelNames(t *testing.T, lines []string) map[string]string {
	t.Helper()
	labels := map[string]string{}
	for _, line := range lines {
		if strings.HasPrefix(line, "#") {
			continue
		}
		parts := sample.FindStringSubmatch(line)
		if parts == nil {
			t.Fatalf("a line that cannot be read: %s", line)
		}
		var names []string
		for _, pair := range regexp.MustCompile(`(\w+)="[^"]*"`).FindAllStringSubmatch(parts[2], -1) {
			if pair[1] != "le" {
				names = append(names, pair[1])
			}
		}
		labels[parts[1]] = strings.Join(names, ",")
	}
	return labels
}

// TestGolden holds names, types, labels and help texts: dashboards and alerts of operators are made of them.
func TestGolden(t *testing.T) {
	t.Parallel()
	w := busyWorker(t)
	lines := ours(t, w)
	labels := labelNames(t, lines)
	var got strings.Builder
	for _, line := range lines {
		if help, found := strings.CutPrefix(line, "# HELP "); found {
			name, _, _ := strings.Cut(help, " ")
			fmt.Fprintf(&got, "%s\n# LABELS %s %s\n", line, name, labels[name])
		}
		if strings.HasPrefix(line, "# TYPE ") {
			fmt.Fprintln(&got, line)
		}
	}
	golden := filepath.Join("testdata", "worker.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("names, types, labels, help (-want +got); -update writes them anew:\n%s", diff)
	}
}

// TestLint asks Prometheus' own rules for names and help texts.
func TestLint(t *testing.T) {
	t.Parallel()
	problems, err := testutil.GatherAndLint(busyWorker(t).registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		if strings.HasPrefix(problem.Metric, namespace+"_") {
			t.Errorf("%s: %s", problem.Metric, problem.Text)
		}
	}
}

// TestBounded: no label that is not in this list, which has none with a value from a request or a test.
func TestBounded(t *testing.T) {
	t.Parallel()
	bounded := []string{"", "arch", "backend", "context", "operation", "outcome", "region", "release", "state"}
	for name, labels := range labelNames(t, ours(t, busyWorker(t))) {
		for label := range strings.SplitSeq(labels, ",") {
			if !slices.Contains(bounded, label) {
				t.Errorf("%s has the label %s", name, label)
			}
		}
	}
}

// TestDocumented: the page has a row for each metric, with its type and labels, and no other rows.
func TestDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := ours(t, busyWorker(t))
	labels := labelNames(t, lines)
	want := map[string]string{}
	for _, line := range lines {
		if fields := strings.Fields(line); fields[1] == "TYPE" {
			want[fields[2]] = fields[3] + " " + labels[fields[2]]
		}
	}
	got := map[string]string{}
	rows := regexp.MustCompile("(?m)^\\| `(\\w+)`(?: ((?:`\\w+` ?)+))? \\| (\\w+) \\|")
	for _, row := range rows.FindAllStringSubmatch(string(page), -1) {
		names := strings.Fields(strings.ReplaceAll(row[2], "`", ""))
		slices.Sort(names)
		got["autopkgtest_worker_"+row[1]] = row[3] + " " + strings.Join(names, ",")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/metrics.md (-there is +documented):\n%s", diff)
	}
	for _, name := range regexp.MustCompile(`autopkgtest_worker_\w+`).FindAllString(string(page), -1) {
		plain := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if _, there := want[plain]; !there {
			t.Errorf("docs/metrics.md speaks of %s, which there is not", name)
		}
	}
}

func TestLook(t *testing.T) {
	t.Parallel()
	w := New("unshare")
	w.Watch(view, breakers, places)
	want := `
# HELP autopkgtest_worker_breaker_open 1 while testbeds are out of service, also until their first canary has passed.
# TYPE autopkgtest_worker_breaker_open gauge
autopkgtest_worker_breaker_open{arch="amd64",release="noble"} 0
autopkgtest_worker_breaker_open{arch="arm64",release="jammy"} 1
# HELP autopkgtest_worker_leases Leases of requests in work: written in time, late, or lost to another worker.
# TYPE autopkgtest_worker_leases gauge
autopkgtest_worker_leases{state="alive"} 6
autopkgtest_worker_leases{state="late"} 1
autopkgtest_worker_leases{state="lost"} 1
# HELP autopkgtest_worker_region_paused 1 while no testbed is made in a region of a cloud: it failed, or was not read yet.
# TYPE autopkgtest_worker_region_paused gauge
autopkgtest_worker_region_paused{region="lcy01"} 0
autopkgtest_worker_region_paused{region="lgw01"} 1
# HELP autopkgtest_worker_region_room Ordinary testbeds that the quota of a region has room for; not there while it is not known.
# TYPE autopkgtest_worker_region_room gauge
autopkgtest_worker_region_room{region="lcy01"} 7
# HELP autopkgtest_worker_slots_free Slots that could take a request.
# TYPE autopkgtest_worker_slots_free gauge
autopkgtest_worker_slots_free 1
# HELP autopkgtest_worker_spool_bytes Size of the results in the spool.
# TYPE autopkgtest_worker_spool_bytes gauge
autopkgtest_worker_spool_bytes 12345
# HELP autopkgtest_worker_testbeds_ready 1 when tests can be run: there is an image, and the breaker is closed.
# TYPE autopkgtest_worker_testbeds_ready gauge
autopkgtest_worker_testbeds_ready{arch="amd64",release="noble"} 1
autopkgtest_worker_testbeds_ready{arch="arm64",release="jammy"} 0
# HELP autopkgtest_worker_tests_running Tests that run now.
# TYPE autopkgtest_worker_tests_running gauge
autopkgtest_worker_tests_running{arch="amd64",context="huge",release="noble"} 0
autopkgtest_worker_tests_running{arch="amd64",context="normal",release="noble"} 2
autopkgtest_worker_tests_running{arch="arm64",context="ppa",release="jammy"} 0
`
	err := testutil.GatherAndCompare(w.registry, strings.NewReader(want), "autopkgtest_worker_breaker_open",
		"autopkgtest_worker_leases", "autopkgtest_worker_region_paused", "autopkgtest_worker_region_room", "autopkgtest_worker_slots_free", "autopkgtest_worker_spool_bytes",
		"autopkgtest_worker_testbeds_ready", "autopkgtest_worker_tests_running")
	if err != nil {
		t.Error(err)
	}
}

func TestRunOutcomes(t *testing.T) {
	t.Parallel()
	for want, of := range map[string]stubTestbeds{
		"ended":          {outcome: testbed.Outcome{ExitCode: 4, Duration: time.Minute}},
		"timed_out":      {outcome: testbed.Outcome{ExitCode: 143, TimedOut: true}},
		"exceeded":       {outcome: testbed.Outcome{ExitCode: 137, Exceeded: "memory"}},
		"testbed_failed": {outcome: testbed.Outcome{ExitCode: 16}},
		"not_begun":      {err: testbed.ErrNoImage},
		"interrupted":    {err: context.Canceled},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			w := New("lxc")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if want == "interrupted" {
				cancel()
			}
			outcome, err := w.Testbeds(of).Run(ctx, testbed.Job{Queue: noble})
			if outcome != of.outcome || !errors.Is(err, of.err) {
				t.Errorf("passed on %+v, %v", outcome, err)
			}
			if got := testutil.ToFloat64(w.runs.WithLabelValues("lxc", "noble", "amd64", want)); got != 1 {
				t.Errorf("%s counted %v times", want, got)
			}
			if measured, want := testutil.CollectAndCount(w.durations) > 0, of.err == nil; measured != want {
				t.Errorf("its time is measured: %t, want %t", measured, want)
			}
		})
	}
}

func TestStoreOutcomes(t *testing.T) {
	t.Parallel()
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	gone, leave := context.WithCancel(t.Context())
	leave()
	for name, test := range map[string]struct {
		ctx  context.Context
		err  error
		want string
	}{
		"well":          {t.Context(), nil, "ok"},
		"no object":     {t.Context(), fmt.Errorf("get: %w", store.ErrNotFound), "not_found"},
		"wrong account": {t.Context(), store.ErrDenied, "denied"},
		"wrong name":    {t.Context(), store.ErrInvalid, "invalid"},
		"away":          {t.Context(), store.ErrUnavailable, "unavailable"},
		"no answer":     {late, context.DeadlineExceeded, "unavailable"},
		"we left":       {gone, errors.Join(store.ErrUnavailable, context.Canceled), "cancelled"},
		"a bug":         {t.Context(), io.ErrShortWrite, "other"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := New("unshare")
			s := w.Store(stubStore{err: test.err})
			if err := s.Put(test.ctx, "c", "o", nil, 100, store.Properties{}); !errors.Is(err, test.err) {
				t.Errorf("passed on %v", err)
			}
			if got := testutil.ToFloat64(w.storeCalls.WithLabelValues("put", test.want)); got != 1 {
				t.Errorf("%s counted %v times", test.want, got)
			}
			written := 0.0
			if test.err == nil {
				written = 100
			}
			if got := testutil.ToFloat64(w.storeBytes); got != written {
				t.Errorf("%v bytes written, want %v", got, written)
			}
		})
	}
}

func TestDialer(t *testing.T) {
	t.Parallel()
	w := New("unshare")
	for _, err := range []error{nil, queue.ErrUnreachable, queue.ErrRefused} {
		if _, got := w.Dialer(func(context.Context) (*queue.Session, error) { return nil, err })(t.Context()); !errors.Is(got, err) {
			t.Errorf("passed on %v", got)
		}
	}
	if opened, failed := testutil.ToFloat64(w.sessions), testutil.ToFloat64(w.dialFailing); opened != 1 || failed != 2 {
		t.Errorf("%v sessions, %v failures, want 1, 2", opened, failed)
	}
}

// A label that nobody has bounded would be found by its number of series: all that a worker of eight releases, four
// architectures and four contexts can have.
func TestSeries(t *testing.T) {
	t.Parallel()
	w := New("unshare")
	var all []request.Queue
	for r := range 8 {
		for a := range 4 {
			for _, c := range request.Contexts {
				all = append(all, request.Queue{Context: c, Release: fmt.Sprintf("rel%d", r), Architecture: fmt.Sprintf("arch%d", a)})
			}
		}
	}
	w.Watch(func() run.View { return run.View{Queues: all, Tests: map[request.Queue]int{}} }, breakers, places)
	for _, q := range all {
		w.Taken(q)
		w.Retried(q)
		w.Moved(q, 1)
		for _, how := range run.Endings() {
			w.Ended(q, how)
		}
		for code := range 256 {
			_, _ = w.Testbeds(stubTestbeds{outcome: testbed.Outcome{ExitCode: code}}).Run(t.Context(), testbed.Job{Queue: q})
		}
	}
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := 0
	for _, family := range families {
		series += len(family.GetMetric())
	}
	if series > 1500 {
		t.Errorf("%d series", series)
	}
}
