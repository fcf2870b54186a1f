package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/run"
)

// The first words of all names.
const (
	namespace = "autopkgtest"
	subsystem = "worker"
)

// Worker counts for one worker. Its methods may be called from several goroutines.
type Worker struct {
	registry *prometheus.Registry
	backend  string

	taken       *prometheus.CounterVec
	ended       *prometheus.CounterVec
	retries     *prometheus.CounterVec
	moves       *prometheus.CounterVec
	failures    *prometheus.CounterVec
	unheard     prometheus.Counter
	announce    prometheus.Histogram
	runs        *prometheus.CounterVec
	durations   *prometheus.HistogramVec
	storeCalls  *prometheus.CounterVec
	storeTimes  *prometheus.HistogramVec
	storeBytes  prometheus.Counter
	sessions    prometheus.Counter
	dialFailing prometheus.Counter
}

var _ run.Observer = (*Worker)(nil)

// Buckets in seconds. A run takes between half a minute and the longest timeout that anybody sets; a result is announced
// within a second, or when the store is back; the store answers within milliseconds, or after its time limits.
var (
	runBuckets      = []float64{30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 43200}
	announceBuckets = []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400}
	storeBuckets    = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120}
)

// New makes the metrics of a worker that uses a backend. They cannot be asked for before Watch.
func New(backend string) *Worker {
	w := &Worker{
		registry: prometheus.NewRegistry(), backend: backend,
		taken: counters("requests_taken_total",
			"Requests that came from the broker and whose life began.", "release", "arch", "context"),
		ended: counters("requests_ended_total",
			"Lives of requests that are over, by how: the class of the exit code, or found, rejected, returned, shelved.",
			"release", "arch", "outcome"),
		retries: counters("retries_total",
			"Tests that were run again because their testbed had failed.", "backend", "release", "arch"),
		moves: counters("results_moved_total",
			"Results that were stored anew above others which had become readable before them.", "release", "arch"),
		failures: counters("step_failures_total",
			"Failed tries of what is repeated until it succeeds, by the state of the request.", "state"),
		unheard: prometheus.NewCounter(counter("status_messages_lost_total",
			"Status messages that the broker did not take; they are not repeated.")),
		announce: prometheus.NewHistogram(histogram("announce_seconds",
			"From a result in the spool to the broker's confirm of its completion message.", announceBuckets)),
		runs: counters("runs_total",
			"Executions of autopkgtest, by how they ended.", "backend", "release", "arch", "outcome"),
		durations: prometheus.NewHistogramVec(histogram("run_seconds",
			"Executions of autopkgtest that ended by themselves or at a limit.", runBuckets), []string{"release", "arch"}),
		storeCalls: counters("store_calls_total",
			"Calls to the store, by what came of them.", "operation", "outcome"),
		storeTimes: prometheus.NewHistogramVec(histogram("store_call_seconds",
			"Calls to the store, whatever came of them.", storeBuckets), []string{"operation"}),
		storeBytes: prometheus.NewCounter(counter("store_written_bytes_total",
			"Content of objects that the store has confirmed.")),
		sessions: prometheus.NewCounter(counter("broker_sessions_total",
			"Sessions with the broker that were opened since the start.")),
		dialFailing: prometheus.NewCounter(counter("broker_dial_failures_total",
			"Tries to open a session with the broker that failed.")),
	}
	// What alerts are made of is there from the beginning: a rate needs the zero before the first failure.
	for _, state := range repeated {
		w.failures.WithLabelValues(string(state))
	}
	for _, operation := range operations {
		for _, outcome := range []string{outcomeOK, outcomeUnavailable, outcomeDenied} {
			w.storeCalls.WithLabelValues(operation, outcome)
		}
	}
	w.registry.MustRegister(w.taken, w.ended, w.retries, w.moves, w.failures, w.unheard, w.announce, w.runs, w.durations,
		w.storeCalls, w.storeTimes, w.storeBytes, w.sessions, w.dialFailing,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return w
}

// repeated are the states whose work is tried again until it succeeds.
var repeated = []run.State{
	run.Wait, run.Prepare, run.Run, run.Decline, run.Abort, run.Collect, run.Spool, run.Store, run.Announce, run.Reject,
}

// Handler answers a scrape.
func (w *Worker) Handler() http.Handler {
	return promhttp.HandlerFor(w.registry, promhttp.HandlerOpts{Registry: w.registry})
}

// Taken is of run.Observer, as are the following.
func (w *Worker) Taken(q request.Queue) {
	w.taken.WithLabelValues(q.Release, q.Architecture, contextWord(q)).Inc()
}

// Ended counts a life that is over.
func (w *Worker) Ended(q request.Queue, how run.Ending) {
	w.ended.WithLabelValues(q.Release, q.Architecture, string(how)).Inc()
}

// Retried counts a test that is run again.
func (w *Worker) Retried(q request.Queue) {
	w.retries.WithLabelValues(w.backend, q.Release, q.Architecture).Inc()
}

// Moved counts new run ids of results.
func (w *Worker) Moved(q request.Queue, times int) {
	w.moves.WithLabelValues(q.Release, q.Architecture).Add(float64(times))
}

// Announced measures how long a result was under way.
func (w *Worker) Announced(_ request.Queue, after time.Duration) { w.announce.Observe(after.Seconds()) }

// Failed counts a try that failed.
func (w *Worker) Failed(at run.State) { w.failures.WithLabelValues(string(at)).Inc() }

// Unheard counts a status message that was left out.
func (w *Worker) Unheard() { w.unheard.Inc() }

// contextWord is a queue's context as people write it in configuration.
func contextWord(q request.Queue) string {
	if q.Context == "" {
		return "normal"
	}
	return string(q.Context)
}

func counter(name, help string) prometheus.CounterOpts {
	return prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(counter(name, help), labels)
}

func histogram(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help, Buckets: buckets}
}
