package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/run"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/systemd"
)

// service is what the service manager is told of a worker.
func service(worker *run.Worker) systemd.Service {
	return systemd.Service{
		Words: func() string { return inWords(worker.Look()) },
		Alive: worker.Pulse,
	}
}

// inWords is what a worker does, and then what it misses, in one line.
func inWords(v run.View) string {
	parts := []string{fmt.Sprintf("%d of %d slots busy", v.Busy, v.Slots)}
	if v.Drains {
		parts[0] = fmt.Sprintf("draining, %s left to finish", counted(v.Busy, "request"))
	}
	say := func(when bool, format string, args ...any) {
		if when {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	say(!v.Connected, "no session with the broker")
	var kinds []string
	for q := range v.NotReady {
		kinds = append(kinds, q.Release+"-"+q.Architecture)
	}
	slices.Sort(kinds)
	say(len(kinds) > 0, "no testbeds of %s", strings.Join(slices.Compact(kinds), ", "))
	say(v.Connected && !v.Drains && len(kinds) == 0 && v.Waiting > 0, "%s not consumed", counted(v.Waiting, "queue"))
	say(v.Spool.Results > 0, "%s in the spool (limit %d)", counted(v.Spool.Results, "result"), v.Spool.Limit)
	say(v.Spool.Full, "no request is taken: the spool is full")
	say(v.Leases.Late+v.Leases.Lost > 0, "the store was not reached for a minute")
	say(v.Ahead > 0, "results of %s held back", counted(v.Ahead, "package"))
	say(v.Rejected > 0, "%s in the folder", counted(v.Rejected, "rejected request"))
	return strings.Join(parts, "; ")
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
