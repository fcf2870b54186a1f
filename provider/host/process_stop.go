package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// stopWaitName is the file in a runit folder that says how long its process may take to stop. The manifest would not do:
// a service that is half-made has none.
const stopWaitName = "stop-wait"

const (
	exitLimit  = 5 * time.Second // for a runsv and its log to end when their process has
	mopUpGrace = time.Second     // for leftovers of a process that has itself ended
)

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

// exit stops a runsv's process, then its log and the runsv. It holds on to the runsv that it is given and the process
// that it finds: as soon as they are gone, runsvdir may start others.
func (s supervised) exit(ctx context.Context, runsv process, stopWait time.Duration) error {
	all, err := s.d.processes()
	if err != nil {
		return err
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

// forget removes the runit folder and the log.
func (s supervised) forget(ctx context.Context) error {
	for _, folder := range []string{s.folder, filepath.Join("log", s.name)} {
		if err := s.d.remove(ctx, s.root, folder); err != nil {
			return err
		}
	}
	return nil
}

// hide hides a process from runsvdir, which then neither starts nor restarts its runsv.
func (s supervised) hide(context.Context) error {
	link := filepath.Join("sv", s.name)
	if target, err := s.root.Readlink(link); err != nil || target != linkTarget(s.service, s.name) {
		return ignoreAbsent(err)
	}
	return s.d.changeLinks(s.root, func() error { return ignoreAbsent(s.root.Remove(link)) })
}

// halt ends a process and its supervision.
func (s supervised) halt(ctx context.Context) error {
	stopWait := s.stopWait()
	for {
		all, err := s.d.processes()
		if err != nil {
			return err
		}
		if runsv, ok := s.runsv(all); ok {
			if err := s.exit(ctx, runsv, stopWait); err != nil {
				return err
			}
		}
		if err := s.endAll(ctx, stopWait); err != nil {
			return err
		}
		if all, err = s.d.processes(); err != nil {
			return err
		}
		s.d.nudge(all)
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
