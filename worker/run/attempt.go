package run

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// maxAttempts is how often a test is run when its testbed fails. What fails three times is published as it is: somebody
// should look, and the gatekeeper must not wait for ever.
const maxAttempts = 3

// maxBroken is how often a run that could not even begin is tried here, with pauses that grow to minutes, before the request
// goes back to its queue, where another worker can take it.
const maxBroken = 10

// exitTmpfail is autopkgtest's code for a testbed that failed.
const exitTmpfail = 16

// attempt is one execution of autopkgtest.
type attempt struct {
	folder  string // of autopkgtest's output
	outcome testbed.Outcome
	unsound error // what the canary said, if the result was no longer believed after it
}

// failed reports whether the testbed failed, and not the package.
func (a attempt) failed() bool { return a.unsound != nil || a.outcome.TestbedFailed() }

// run runs the tests. What is the package's result is accepted at once; what is our own failure is tried again. A crash here
// leaves a folder and processes in namespaces of their own, which the next start ends and removes.
func (l *life) run(ctx context.Context) State {
	for broken := 0; ; {
		a := attempt{folder: l.attemptFolder()}
		l.report(ctx, a.folder)
		outcome, err := l.worker.testbeds.Run(ctx, testbed.Job{
			Request: l.request, Queue: l.delivery.Queue, Handle: l.id, Image: l.worker.image(l.delivery.Queue),
			OutputDir: a.folder, WorkDir: filepath.Join(l.folder, "work"), Timeout: l.worker.settings.Timeout,
			Limits: l.worker.settings.Limits, Ended: func() { l.glimpse(ctx) },
		})
		if ctx.Err() != nil {
			return Handback
		}
		if err != nil {
			// Nothing to do with the package: publishing it would blame the package, and trying the next request would
			// burn the whole queue on a broken machine. So the request is kept.
			broken++
			l.log.Error("the tests could not be run", "tries", broken, "error", err)
			l.worker.settings.Observer.Failed(Run)
			if broken == maxBroken {
				return Handback
			}
			if err := l.again(ctx, a.folder, brokenPause(broken)); err != nil {
				return Handback
			}
			continue
		}
		a.outcome = outcome
		if suspicious(a) {
			a.unsound = l.worker.testbeds.Canary(ctx, l.delivery.Queue)
			if ctx.Err() != nil {
				return Handback
			}
		}
		l.attempts = append(l.attempts, a)
		l.log.Info("autopkgtest ended", "attempt", len(l.attempts), "exitcode", outcome.ExitCode, "duration", outcome.Duration,
			"timed_out", outcome.TimedOut, "exceeded", outcome.Exceeded)
		if a.unsound != nil {
			l.log.Warn("the result is not the package's: the testbed's canary fails", "attempt", len(l.attempts), "error", a.unsound)
		}
		if !a.failed() || len(l.attempts) == maxAttempts {
			return Collect
		}
		if !sleep(ctx, retryPause(l.worker.settings.RetryPause, len(l.attempts))) {
			return Handback
		}
		l.worker.settings.Observer.Retried(l.delivery.Queue)
	}
}

// again clears what a run that did not begin has left, and waits.
func (l *life) again(ctx context.Context, folder string, pause time.Duration) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if !sleep(ctx, pause) {
		return context.Cause(ctx)
	}
	return nil
}

// published is the exit code that a run is stored with. Readers know autopkgtest's own codes only.
func (a attempt) published() int {
	o := a.outcome
	switch {
	case a.unsound != nil:
		return exitTmpfail
	case o.TimedOut:
		return 4 // as for a single test that takes too long
	case o.Exceeded != "":
		return 4
	case o.ExitCode == 1, o.ExitCode < 0, o.ExitCode >= 128:
		return exitTmpfail
	}
	return o.ExitCode
}

// sleep waits, and reports false when the context ended first.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
