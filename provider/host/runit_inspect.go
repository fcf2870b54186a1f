package host

import (
	"context"
	"fmt"
	"path/filepath"
)

// inspect looks at the process, and whether the supervisor sees it.
func (s supervised) inspect(_ context.Context, all snapshot) (Status, []string) {
	status, problem := s.look(all)
	var problems []string
	if problem != "" {
		problems = append(problems, problem)
	}
	link := filepath.Join("sv", s.name)
	if target, err := s.root.Readlink(link); err != nil || target != linkTarget(s.service, s.name) {
		problems = append(problems, "is hidden from the supervisor: the link "+link+" is not as it was")
	}
	return status, problems
}

// look says in words what is wrong with the process; nothing is when it runs with what its script says, under the
// stack's own supervisor.
func (s supervised) look(all snapshot) (Status, string) {
	runsv, supervised := s.proper(all)
	strays := s.strays(all)
	status, err := s.status()
	if err != nil || !supervised {
		if len(strays) > 0 {
			return Status{}, fmt.Sprintf("runs without its supervisor (process %d)", strays[0].pid)
		}
		return Status{}, "is down"
	}
	state := Status{Up: status.pid != 0 && status.wantUp, PID: status.pid, Since: status.since}
	main, running := all[status.pid]
	wanted := s.inputs()
	switch {
	case len(strays) > 0:
		return state, fmt.Sprintf("has left process %d behind, which has lost its supervisor", strays[0].pid)
	case !state.Up || !running || !all.descends(main, runsv.pid):
		return state, "is down"
	case wanted == unfinished:
		return state, "waits for the end of a change that was interrupted"
	case main.inputs != wanted:
		return state, "runs with what it was given before the last change"
	}
	return state, ""
}
