package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/run"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Watch has each scrape look at what the worker has in hand, at the breakers of its testbeds, and at where they are made.
func (w *Worker) Watch(look func() run.View, breakers func() map[request.Queue]testbed.BreakerState, places func() []testbed.Place) {
	w.registry.MustRegister(looker{look, breakers, places, time.Now})
}

// looker makes gauges of what there is at the moment of a scrape.
type looker struct {
	look     func() run.View
	breakers func() map[request.Queue]testbed.BreakerState
	places   func() []testbed.Place
	now      func() time.Time
}

var (
	slots   = gauge("slots", "Tests that this worker may run at a time.")
	busy    = gauge("slots_busy", "Slots that hold a request without a result.")
	free    = gauge("slots_free", "Slots that could take a request.")
	drains  = gauge("draining", "1 while running tests are finished and no request is taken.")
	inWork  = gauge("requests", "Requests in work, by the state of their life.", "state")
	tests   = gauge("tests_running", "Tests that run now.", "release", "arch", "context")
	queues  = gauge("queues", "Queues that this worker is configured to serve.")
	waiting = gauge("queues_not_consumed", "Queues that are not consumed: not there, not ready, or there is no session.")
	ready   = gauge("testbeds_ready", "1 when tests can be run: there is an image, and the breaker is closed.", "release", "arch")
	open    = gauge("breaker_open", "1 while testbeds are out of service, also until their first canary has passed.", "release", "arch")
	paused  = gauge("region_paused", "1 while no testbed is made in a region of a cloud: it failed, or was not read yet.", "region")
	room    = gauge("region_room", "Ordinary testbeds that the quota of a region has room for; not there while it is not known.", "region")
	session = gauge("broker_connected", "1 while there is a session with the broker.")

	spoolResults = gauge("spool_results", "Results that wait on disk until they are stored and announced.")
	spoolLimit   = gauge("spool_results_limit", "Results in the spool at which no request is taken.")
	spoolBytes   = gauge("spool_bytes", "Size of the results in the spool.")
	spoolAge     = gauge("spool_oldest_age_seconds", "How long the oldest result has waited in the spool; 0 when it is empty.")
	spoolFull    = gauge("spool_full", "1 while no request is taken because of the spool's limit or the disk.")

	leases   = gauge("leases", "Leases of requests in work: written in time, late, or lost to another worker.", "state")
	rejected = gauge("rejected_in_folder", "Rejected requests that the broker has not taken: they lie in the state directory.")
	ahead    = gauge("packages_held_back", "Packages whose results are not published: a run id in the store is far ahead of the clock.")
)

var gauges = []*prometheus.Desc{
	slots, busy, free, drains, inWork, tests, queues, waiting, ready, open, paused, room, session, spoolResults, spoolLimit, spoolBytes,
	spoolAge, spoolFull, leases, rejected, ahead,
}

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, subsystem, name), help, labels, nil)
}

// Describe is of prometheus.Collector.
func (l looker) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range gauges {
		to <- desc
	}
}

// Collect is of prometheus.Collector.
func (l looker) Collect(to chan<- prometheus.Metric) {
	set := func(desc *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	v := l.look()
	set(slots, float64(v.Slots))
	set(busy, float64(v.Busy))
	set(free, float64(max(v.Slots-v.Busy, 0)))
	set(drains, word(v.Drains))
	for _, state := range run.States {
		set(inWork, float64(v.States[state]), string(state))
	}
	l.collectQueues(v, set)
	for _, place := range l.places() {
		set(paused, word(place.Reason != nil), place.Name)
		if place.Room >= 0 {
			set(room, float64(place.Room), place.Name)
		}
	}
	set(session, word(v.Connected))

	set(spoolResults, float64(v.Spool.Results))
	set(spoolLimit, float64(v.Spool.Limit))
	set(spoolBytes, float64(v.Spool.Bytes))
	age := time.Duration(0)
	if !v.Spool.Oldest.IsZero() {
		age = max(l.now().Sub(v.Spool.Oldest), 0)
	}
	set(spoolAge, age.Seconds())
	set(spoolFull, word(v.Spool.Full))

	set(leases, float64(v.Leases.Alive), "alive")
	set(leases, float64(v.Leases.Late), "late")
	set(leases, float64(v.Leases.Lost), "lost")
	set(rejected, float64(v.Rejected))
	set(ahead, float64(v.Ahead))
}

// collectQueues is the part that has a series for each queue, or for each kind of testbed.
func (l looker) collectQueues(v run.View, set func(*prometheus.Desc, float64, ...string)) {
	set(queues, float64(len(v.Queues)))
	set(waiting, float64(v.Waiting))
	kinds := map[[2]string]bool{}
	for _, q := range v.Queues {
		if _, some := v.Tests[q]; !some {
			v.Tests[q] = 0
		}
		kind := [2]string{q.Release, q.Architecture}
		_, problem := v.NotReady[q]
		kinds[kind] = !problem
	}
	for q, running := range v.Tests { // also of a queue that is no longer served
		set(tests, float64(running), q.Release, q.Architecture, contextWord(q))
	}
	for kind, yes := range kinds {
		set(ready, word(yes), kind[0], kind[1])
	}
	for q, state := range l.breakers() {
		if _, served := kinds[[2]string{q.Release, q.Architecture}]; !served {
			continue // no longer: nobody tries these again
		}
		set(open, word(state != testbed.BreakerClosed), q.Release, q.Architecture)
	}
}

func word(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
