package testbed

import (
	"log/slog"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// Job is one run.
type Job struct {
	Request request.Request
	Queue   request.Queue // its release and architecture are the testbed's
	Handle  string        // of the request in this worker, "run" in the log; empty for what is no request, such as a canary

	// Image is the path of the testbed's image; empty for a backend that needs none. It may be replaced while the run goes
	// on: the run keeps the one that it has begun with. What is known of the image stands beside it, see ImageInfo.
	Image string

	// OutputDir is where autopkgtest leaves its files, log first. It is made if it is missing, and must be empty. In the
	// end everything in it is readable, but test results may have links that lead out of it.
	OutputDir string

	// WorkDir is a folder of this run alone, made if it is missing. A few hundred megabytes are unpacked in a folder
	// below it, which is removed in the end. It may hold OutputDir. Nobody but the account may be able to enter it.
	WorkDir string

	// Timeout ends the run, whatever autopkgtest's own limits say. Zero means never.
	Timeout time.Duration

	// Limits bound what else the run may take.
	Limits Limits

	// Grace is how long autopkgtest has to end after TERM; zero means DefaultGrace.
	Grace time.Duration

	// Source is an unpacked source tree to test instead of the request's package, whose name it should have.
	Source string

	// BackendArguments are the operator's own, as they follow `--`: the backend's name first. They replace those that the
	// backend makes. Nil means that there are none.
	BackendArguments []string

	// TestbedArchitecture is the testbed's own where there is no image that tells it. Empty: the queue's.
	TestbedArchitecture string

	ExtraArguments []string // the operator's, for autopkgtest
	SetupCommands  []string // the operator's, run in the testbed
	Debug          bool

	// Traits stretch the time limits of autopkgtest. What else they mean is in BackendArguments already.
	Traits Traits

	// PPA is where the request's PPAs lie, if it has any.
	PPA config.PPA

	// Ended is called when autopkgtest has ended by itself and only has to be cleaned up after, at most once; nil for nobody. It
	// must be quick.
	Ended func() `json:"-"`
}

// logTo is a log whose lines say which run they are of.
func (j Job) logTo(log *slog.Logger) *slog.Logger {
	log = log.With("release", j.Queue.Release, "arch", j.Queue.Architecture, "package", j.Request.Package)
	if j.Handle != "" {
		log = log.With("run", j.Handle)
	}
	return log
}

// Outcome is how a run ended.
type Outcome struct {
	// ExitCode is autopkgtest's, or 128 and the number of the signal that killed it. See result.Classify.
	ExitCode int

	// Duration is autopkgtest's time, without making and removing the namespaces.
	Duration time.Duration

	// TimedOut means that the run was ended by Job.Timeout. ExitCode is then that of a program ended by TERM.
	TimedOut bool

	// Exceeded names one of Job.Limits, with its value, that has ended the run; empty for none. ExitCode is then that of a
	// program ended by KILL. Like a time-out it is the package's result: it would happen again.
	Exceeded string
}

// TestbedFailed tells a failure of the testbed, or of autopkgtest itself, from a result of the package.
func (o Outcome) TestbedFailed() bool {
	switch {
	case o.TimedOut, o.Exceeded != "":
		return false // the package's tests take too much, and would again
	case o.ExitCode == 16, o.ExitCode == 1: // 1: autopkgtest crashed
		return true
	case o.ExitCode == exitUnsupported: // what autopkgtest did not expect; without a run, what this worker can never do
		return o.Duration > 0
	}
	return o.ExitCode < 0 || o.ExitCode >= 128 // a signal
}

// DefaultGrace is twice what autopkgtest has been seen to need to remove a testbed on a busy machine.
const DefaultGrace = 10 * time.Second

// exitUnsupported is the exit code of a run that this worker cannot do: autopkgtest's own for a bad command line.
const exitUnsupported = 20
