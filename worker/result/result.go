// Package result is the outcome of one run as it lies in a result store: where it lies (containers, prefixes, run ids),
// what result.tar holds, and what autopkgtest's exit codes mean.
//
// It neither stores nor fetches anything (package store does) and it imports nothing else of this project.
// Start reading at Result and Location.
package result

import "time"

// The objects of one run, below its Location's Dir. TarObject is uploaded last: readers believe nothing else.
const (
	TarObject       = "result.tar"
	LogObject       = "log.gz"
	ArtifactsObject = "artifacts.tar.gz"
	ReadableObject  = "readable-by" // private runs only: who may read, one name per line
)

// Versions that stand for none.
const (
	Unknown     = "unknown"     // the run never came as far as to know it
	Blacklisted = "blacklisted" // never run; the gatekeeper's hints match this very word
)

// Result is what result.tar holds.
type Result struct {
	ExitCode int

	// Source and Version say what was tested. WriteTar fills an empty Version: see TestedVersion.
	Source, Version string

	Duration  time.Duration // whole seconds are stored
	Requester string

	// Triggers and Env are what the test was told of: testinfo.json's custom_environment, which lists the triggers
	// as ADT_TEST_TRIGGERS=A/1 B/2 and the other entries as they are.
	Triggers, Env []string

	// Handle is the name of the life of the request that made the result, at the worker that ran it. It tells this result
	// from those of equal requests; other workers' results have none.
	Handle string

	Request         []byte // the body of the request that was run, as it came
	Summary         []byte // autopkgtest's own files, as it wrote them
	TestbedPackages []byte
	TestInfo        []byte
}

// TestedVersion is the version that goes into the store. Where no version was recorded (the testbed failed before), it is
// the one of the package's own trigger if it has one: the gatekeeper drops a result whose version sorts below its
// trigger's, as "unknown" does below any version with an epoch, and would wait for ever.
func (r Result) TestedVersion() string {
	if r.Version != "" && (r.Version != Unknown || r.ExitCode == exitNeverRun) {
		return r.Version
	}
	if r.ExitCode != exitNeverRun {
		for _, trigger := range r.Triggers {
			if version, own := ownVersion(trigger, r.Source); own {
				return version
			}
		}
	}
	return Unknown
}
