package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stopWaitName is the file in a runit folder that says how long its process may take to stop. The manifest would not do:
// a service that is half-made has none.
const stopWaitName = "stop-wait"

const (
	runsvLimit = 15 * time.Second // for runsvdir to start a runsv: 5 s if it was not to be woken
	startLimit = 3 * time.Second  // for a runsv to start its process; one that dies at once is WaitReady's to report
	exitLimit  = 5 * time.Second  // for a runsv and its log to end when their process has
	mopUpGrace = time.Second      // for leftovers of a process that has itself ended
)

// outcome is what had to be done about a process.
type outcome int

const (
	untouched outcome = iota
	started
	restarted
)

func (d *Directory) supervised(root *os.Root, service, name string) supervised {
	return supervised{d: d, root: root, name: name, folder: runitFolder(service, name)}
}

// runitNames lists the processes that have a runit folder.
func (d *Directory) runitNames(root *os.Root, service string) ([]string, error) {
	return list(root, filepath.Join("services", service, "runit"))
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
		folder, err := os.Readlink("/proc/" + strconv.Itoa(p.pid) + "/cwd")
		if err == nil && strings.TrimSuffix(folder, " (deleted)") == s.d.Path(s.folder) &&
			(oldest.pid == 0 || p.start < oldest.start) {
			oldest = p
		}
	}
	return oldest, oldest.pid != 0
}

// proper finds the runsv if it belongs to the runsvdir of today.
func (s supervised) proper(all snapshot) (process, bool) {
	runsv, ok := s.runsv(all)
	if !ok || !s.alive() {
		return process{}, false
	}
	return runsv, slices.ContainsFunc(all.supervisors(), func(p process) bool { return p.pid == runsv.parent })
}

// strays are the processes that bear the name but are not under a proper runsv: what is left of one that was killed. A
// process that has detached itself from a living service is none as long as it stays in the session.
func (s supervised) strays(all snapshot) []process {
	runsv, ok := s.proper(all)
	return all.choose(func(p process) bool {
		return p.mark == s.name && !(ok && (p.session == runsv.session || all.descends(p, runsv.pid)))
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
	if _, ok := s.proper(all); !ok {
		if err := s.exit(ctx, stopWait); err != nil {
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
			return done, err
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

// down stops the process and what it left behind, and keeps its runsv. After stopWait it is killed.
func (s supervised) down(ctx context.Context, stopWait time.Duration) error {
	err := s.control(commandDown)
	if errors.Is(err, errNoSupervisor) {
		return s.endAll(ctx, stopWait)
	}
	if err != nil {
		return err
	}
	begin, killed := time.Now(), false
	for s.alive() {
		status, err := s.status()
		if err == nil && status.pid == 0 && !status.wantUp {
			break
		}
		if spent := time.Since(begin); spent > stopWait+killWait {
			return fmt.Errorf("process %s does not end, not even by SIGKILL", s.name)
		} else if spent > stopWait && !killed {
			killed = true
			if err := s.control(commandKill); err != nil && !errors.Is(err, errNoSupervisor) {
				return err
			}
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("stop process %s: %w", s.name, err)
		}
	}
	return s.endAll(ctx, mopUpGrace)
}

// exit stops the process, then its log and its runsv, if there is one. It holds on to the runsv and the process that it
// finds: as soon as they are gone, runsvdir may start others.
func (s supervised) exit(ctx context.Context, stopWait time.Duration) error {
	all, err := s.d.processes()
	if err != nil {
		return err
	}
	runsv, ok := s.runsv(all)
	if !ok {
		return nil
	}
	inSession := func(p process) bool {
		return p.session == runsv.session && p.pid != runsv.pid && p.mark != logMark(s.name)
	}
	worked := all.choose(inSession)
	// The control pipe would do the same, but it may be another runsv's by now.
	if err := runsv.signal(syscall.SIGTERM); err != nil {
		return err
	}
	for begin := time.Now(); slices.ContainsFunc(worked, process.exists); {
		if time.Since(begin) > stopWait {
			break
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("stop process %s: %w", s.name, err)
		}
	}
	err = s.d.end(ctx, 0, func(_ snapshot, p process) bool { return inSession(p) })
	if err != nil {
		return err
	}
	// Now nobody holds the log's pipe any more, so svlogd comes to its end, and runsv with it.
	for begin := time.Now(); runsv.exists() && time.Since(begin) < exitLimit; {
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("end the supervision of process %s: %w", s.name, err)
		}
	}
	return s.d.end(ctx, mopUpGrace, func(_ snapshot, p process) bool { return p.session == runsv.session })
}

// endStrays ends what is left of a process that is not, or no longer, supervised.
func (s supervised) endStrays(ctx context.Context, grace time.Duration) error {
	return s.d.end(ctx, grace, func(all snapshot, p process) bool {
		return slices.ContainsFunc(s.strays(all), func(stray process) bool { return stray.pid == p.pid })
	})
}

// endAll ends every process of that name.
func (s supervised) endAll(ctx context.Context, grace time.Duration) error {
	return s.d.end(ctx, grace, func(_ snapshot, p process) bool { return p.mark == s.name })
}

// dismiss ends a process for good and removes its runit folder and its log.
func (d *Directory) dismiss(ctx context.Context, root *os.Root, service, name string) error {
	if err := d.unlink(root, service, name); err != nil {
		return err
	}
	if err := d.halt(ctx, root, service, name); err != nil {
		return err
	}
	for _, folder := range []string{runitFolder(service, name), filepath.Join("log", name)} {
		if err := d.remove(ctx, root, folder); err != nil {
			return err
		}
	}
	return nil
}

// unlink hides a process from runsvdir, which then neither starts nor restarts its runsv.
func (d *Directory) unlink(root *os.Root, service, name string) error {
	link := filepath.Join("sv", name)
	if target, err := root.Readlink(link); err != nil || target != linkTarget(service, name) {
		return ignoreAbsent(err)
	}
	return d.changeLinks(root, func() error { return ignoreAbsent(root.Remove(link)) })
}

// halt ends a process and its supervision. It must not be linked any more.
func (d *Directory) halt(ctx context.Context, root *os.Root, service, name string) error {
	s := d.supervised(root, service, name)
	stopWait := s.stopWait()
	for {
		if err := s.exit(ctx, stopWait); err != nil {
			return err
		}
		if err := s.endAll(ctx, stopWait); err != nil {
			return err
		}
		all, err := d.processes()
		if err != nil {
			return err
		}
		d.nudge(all)
		// A runsvdir that had just read the link starts a runsv all the same.
		if _, again := s.runsv(all); !again {
			return nil
		}
	}
}

// stopWait is what the definition said, also when the service is half-made.
func (s supervised) stopWait() time.Duration {
	data, err := readRegular(s.root, filepath.Join(s.folder, stopWaitName))
	if err != nil {
		return defaultStopWait
	}
	wait, err := time.ParseDuration(string(data))
	if err != nil || wait < 0 {
		return defaultStopWait
	}
	return wait
}
