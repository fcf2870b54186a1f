package index

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// Run is one run as the index knows it.
type Run struct {
	result.Location
	Version   string // of the tested package; never empty
	Triggers  []string
	Duration  time.Duration // whole seconds
	ExitCode  int
	Requester string
	Env       string // "all-proposed=1,testname=x", these two keys only
}

// Class is what the exit code means.
func (r Run) Class() result.Class { return result.Classify(r.ExitCode) }

// newRun makes the row for a result, or says with result.ErrDamaged why there cannot be one. The rules are britney's: it gives
// up on a package's remaining rows at the first that lacks a version, so an incomplete row must never be written.
func newRun(loc result.Location, res result.Result) (Run, string, error) {
	version := res.Version
	if version == "" {
		// Of these outcomes, which may precede knowing the version, the gatekeeper accepts it.
		if !slices.Contains([]int{4, 12, 20}, res.ExitCode) {
			return Run{}, "", fmt.Errorf("%w: exit code %d without a version of the package", result.ErrDamaged, res.ExitCode)
		}
		version = result.Unknown
	}
	if source := cmp.Or(res.Source, loc.Package); source != loc.Package {
		return Run{}, "", fmt.Errorf("%w: it is about the package %.80q", result.ErrDamaged, source)
	}
	run := Run{
		Location:  loc,
		Version:   version,
		Triggers:  slices.DeleteFunc(slices.Clone(res.Triggers), notTrigger),
		Duration:  res.Duration.Truncate(time.Second),
		ExitCode:  res.ExitCode,
		Requester: strings.TrimSpace(res.Requester),
	}
	// The request is there for information: results of other workers do not have it, and a broken one damages nothing.
	if req, err := request.Parse(res.Request); err == nil {
		run.Env = env(req)
		return run, req.ID, nil
	}
	return run, "", nil
}

func notTrigger(word string) bool {
	source, version, found := strings.Cut(word, "/")
	return !found || source == "" || version == "" || strings.ContainsAny(word, " \t\n")
}

// env is the column of that name: what changes the meaning of a result, as Ubuntu's tools write it.
func env(req request.Request) string {
	var words []string
	if req.AllProposed {
		words = append(words, "all-proposed=1")
	}
	if req.TestName != "" {
		words = append(words, "testname="+req.TestName)
	}
	return strings.Join(words, ",")
}
