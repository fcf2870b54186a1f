package metrics

import (
	"context"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/run"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Testbeds counts the runs of testbeds, and how they end.
func (w *Worker) Testbeds(of run.Testbeds) run.Testbeds { return testbeds{of, w} }

type testbeds struct {
	run.Testbeds
	counts *Worker
}

// How a run ended.
const (
	runEnded       = "ended"          // by itself, with a result of the package
	runTimedOut    = "timed_out"      // at its timeout
	runExceeded    = "exceeded"       // at another limit
	runFailed      = "testbed_failed" // the testbed or autopkgtest failed
	runNotBegun    = "not_begun"      // no image, no space, no namespaces
	runInterrupted = "interrupted"    // by a stop, or by an operator
)

func (t testbeds) Run(ctx context.Context, job testbed.Job) (testbed.Outcome, error) {
	outcome, err := t.Testbeds.Run(ctx, job)
	q := job.Queue
	how := runOutcome(ctx, outcome, err)
	t.counts.runs.WithLabelValues(t.counts.backend, q.Release, q.Architecture, how).Inc()
	if err == nil {
		t.counts.durations.WithLabelValues(q.Release, q.Architecture).Observe(outcome.Duration.Seconds())
	}
	return outcome, err
}

func runOutcome(ctx context.Context, outcome testbed.Outcome, err error) string {
	switch {
	case err != nil && ctx.Err() != nil:
		return runInterrupted
	case err != nil:
		return runNotBegun
	case outcome.TimedOut:
		return runTimedOut
	case outcome.Exceeded != "":
		return runExceeded
	case outcome.TestbedFailed():
		return runFailed
	}
	return runEnded
}
