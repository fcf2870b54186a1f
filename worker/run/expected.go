package run

import (
	"path/filepath"
	"slices"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// Expected is how many requests may come at the same time, for whoever prepares something for them: as many as there are
// slots, or none while no testbed is in service or the worker drains.
func (w *Worker) Expected() int {
	select {
	case <-w.drain:
		return 0
	default:
	}
	wanted, _ := w.current()
	if !slices.ContainsFunc(wanted.queues, func(q request.Queue) bool { return w.testbeds.Ready(q) == nil }) {
		return 0
	}
	return wanted.slots
}

// AheadMark is the folder by which processes are known that are started before there is a run for them. The next worker with
// the same state directory ends what is left of them, as it does with those of runs.
func AheadMark(stateDirectory string) string {
	return filepath.Join(stateDirectory, runsFolder, "ahead")
}
