package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	runsvLimit = 15 * time.Second // for runsvdir to start a runsv: 5 s if it was not to be woken
	pipesLimit = 5 * time.Second  // for a runsv to make the pipes that it takes commands from
	startLimit = 3 * time.Second  // for a runsv to start its process; one that dies at once is WaitReady's to report
)

func (d *Directory) supervised(root *os.Root, service, name string) supervised {
	return supervised{d: d, root: root, service: service, name: name, folder: runitFolder(service, name)}
}

// list names the entries of a folder, in order; a missing folder has none.
func list(root *os.Root, folder string) ([]string, error) {
	entries, err := fs.ReadDir(root.FS(), folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list %s: %w", folder, err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, nil
}

// runsv finds the runsv of a process: the one of the stack's that works in its runit folder. There can be two for a
// moment, when a new runsvdir tries to start what still runs under the old one's; the older one holds the lock.
func (s supervised) runsv(all snapshot) (process, bool) {
	var oldest process
	for _, p := range all.choose(func(p process) bool { return p.command == "runsv" }) {
		if strings.TrimSuffix(p.folder(), deleted) == s.d.Path(s.folder) && (oldest.pid == 0 || p.start < oldest.start) {
			oldest = p
		}
	}
	return oldest, oldest.pid != 0
}

// deleted is what the kernel adds to the name of a folder that is gone.
const deleted = " (deleted)"

// folder is where a process works; empty when that cannot be seen.
func (p process) folder() string {
	folder, err := os.Readlink("/proc/" + strconv.Itoa(p.pid) + "/cwd")
	if err != nil {
		return ""
	}
	return folder
}

// proper finds the runsv if it belongs to the runsvdir of today and takes commands.
func (s supervised) proper(all snapshot) (process, bool) {
	runsv, ok := s.runsv(all)
	if !ok || !s.alive() {
		return process{}, false
	}
	return runsv, all.supervises(runsv)
}

// supervises says whether a runsv is a child of today's runsvdir.
func (s snapshot) supervises(runsv process) bool {
	return slices.ContainsFunc(s.supervisors(), func(p process) bool { return p.pid == runsv.parent })
}

// keeps says whether a runsv can go on. One of a runsvdir that was killed cannot, nor one whose folder was taken away. One
// that takes no commands may just have been started, side by side with us, so it is given the time to.
func (s supervised) keeps(ctx context.Context, all snapshot, runsv process) (bool, error) {
	if !all.supervises(runsv) || strings.HasSuffix(runsv.folder(), deleted) {
		return false, nil
	}
	for begin := time.Now(); runsv.exists() && !s.alive(); {
		if time.Since(begin) > pipesLimit {
			return false, nil
		}
		if err := sleep(ctx, pause); err != nil {
			return false, fmt.Errorf("wait for the supervision of process %s: %w", s.name, err)
		}
	}
	return true, nil
}

// strays are the processes that bear the name but are not under a proper runsv: what is left of one that was killed.
// While the process itself runs, only a twin of it counts: others may have detached themselves for good reasons. Where
// there is no runsv, a child of today's runsvdir is none either: its runsv was not one yet when we came past it, because
// processes are looked at one after the other.
func (s supervised) strays(all snapshot) []process {
	_, seen := s.runsv(all)
	runsv, ok := s.proper(all)
	twin := ""
	if status, err := s.status(); ok && err == nil {
		if main := all[status.pid]; main.mark == s.name && all.descends(main, runsv.pid) {
			twin = main.command
		}
	}
	return all.choose(func(p process) bool {
		if p.mark != s.name || ok && (p.session == runsv.session || all.descends(p, runsv.pid)) {
			return false
		}
		if !seen && slices.ContainsFunc(all.supervisors(), func(q process) bool { return all.descends(p, q.pid) }) {
			return false
		}
		return twin == "" || p.command == twin
	})
}

// settle brings the process up with the inputs that its run script has.
//
//	               no runsv ──────────────► wait for it ─► up
//	runsv of a killed runsvdir ─► exit ───► wait for it ─► up
//	strays of a killed runsv ─► TERM, KILL ─┘
//	                   down ──────────────────────────────► up
//	           other inputs ─► down, KILL after a while ──► up
//	                     up ─► nothing
func (s supervised) settle(ctx context.Context, stopWait time.Duration) (outcome, error) {
	all, err := s.d.processes()
	if err != nil {
		return untouched, err
	}
	done := untouched
	if len(s.strays(all)) > 0 {
		done = restarted
	}
	// Only the runsv that was looked at is ended: where there was none, one may have been started since.
	if runsv, ok := s.runsv(all); ok {
		kept, err := s.keeps(ctx, all, runsv)
		if err == nil && !kept {
			err = s.exit(ctx, runsv, stopWait)
		}
		if err != nil {
			return done, err
		}
	}
	if err := s.endStrays(ctx, stopWait); err != nil {
		return done, err
	}
	if err := s.awaitRunsv(ctx); err != nil {
		return done, err
	}
	status, err := s.status()
	if err != nil {
		return done, err
	}
	if status.pid != 0 && status.wantUp {
		if s.awaitInputs(ctx) {
			return done, nil
		}
		if ctx.Err() != nil {
			return done, context.Cause(ctx)
		}
		done = restarted
		if err := s.down(ctx, stopWait); err != nil {
			// Who drains for longer than we may wait comes back by itself, with the new inputs.
			return done, errors.Join(err, s.control(commandUp))
		}
	} else if done == untouched {
		done = started
	}
	if err := s.control(commandUp); err != nil {
		return done, err
	}
	s.awaitInputs(ctx)
	return done, nil
}

// awaitRunsv waits for runsvdir to start the runsv.
func (s supervised) awaitRunsv(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, runsvLimit)
	defer cancel()
	for {
		all, err := s.d.processes()
		if err != nil {
			return err
		}
		if _, ok := s.proper(all); ok {
			if _, err := s.status(); err == nil {
				return nil
			}
		}
		s.d.nudge(all)
		if err := sleep(ctx, 5*pause); err != nil {
			return fmt.Errorf("wait for the supervisor to take process %s: %w%s", s.name, err, s.d.supervisorSays(all))
		}
	}
}

// awaitInputs waits for the process to run with the inputs that its script has. It is a shell for a moment before it
// is the program; other inputs, or a process that keeps ending, are the answer no.
func (s supervised) awaitInputs(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		status, err := s.status()
		if err == nil && status.pid != 0 {
			if p, ok := readProcess(status.pid); ok {
				if err := p.readMarks(s.d.path); err == nil && p.mark == s.name && p.inputs != "" {
					return p.inputs == s.inputs()
				}
			}
		}
		if sleep(ctx, pause) != nil {
			return false
		}
	}
}
