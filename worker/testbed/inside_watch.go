package testbed

import (
	"io"
	"os"
	"time"
)

// The first process watches what the run takes: it alone may look at all of the run's processes and files, whosever they
// are. How often it looks depends on how long a look takes, so that it never costs more than a few percent of a processor.
const (
	watchProcesses = 500 * time.Millisecond
	watchDisk      = 2 * time.Second
	watchShare     = 30               // a look takes at most one part in so many of the time,
	watchLongest   = 20 * time.Second // but the next one is never later than this
)

// watch is told what to look at.
type watch struct {
	limits  Limits
	folders []string // of the run's files, the first one is where it unpacks its testbed
}

// start looks until the process ends. Whatever the run has too much of is reported, and ends the process, which ends
// everything: a fork bomb must not have the time that a kind end takes.
func (w watch) start(control io.Writer) {
	end := func(message report) {
		_ = send(control, message) // if nobody listens, this ends all the same
		os.Exit(1)
	}
	if w.limits.Memory > 0 || w.limits.Processes > 0 {
		go repeat(watchProcesses, func() {
			if over := w.processes(); over != nil {
				end(report{Exceeded: over})
			}
		})
	}
	if len(w.folders) == 0 {
		return
	}
	go repeat(watchDisk, func() {
		over, err := w.disk()
		if err != nil {
			end(report{Full: err.Error()})
		}
		if over != nil {
			end(report{Exceeded: over})
		}
	})
}

func repeat(pause time.Duration, look func()) {
	for {
		started := time.Now()
		look()
		time.Sleep(min(max(pause, watchShare*time.Since(started)), watchLongest))
	}
}

// processes looks at the processes of the run.
func (w watch) processes() *exceeded {
	all := listProcesses()
	var tasks, memory int64
	for _, p := range all {
		tasks += p.threads
		memory += p.memory
	}
	if limit := int64(w.limits.Processes); limit > 0 && tasks >= limit {
		return &exceeded{limitProcesses, limit}
	}
	if w.limits.Memory <= 0 {
		return nil
	}
	files := memoryFiles(all)
	if memory+files > w.limits.Memory {
		// What several processes share was counted for each of them. The exact sum takes longer.
		if memory = sharedOnce(all); memory+files > w.limits.Memory {
			return &exceeded{limitMemory, w.limits.Memory}
		}
	}
	return nil
}
