package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// superviseLimit bounds the wait for a runsvdir that was just started; it takes milliseconds.
const superviseLimit = 10 * time.Second

// superviseScript starts runsvdir as a child of init. Descriptors: a broker needs more than the usual soft limit of
// 1024, and some programs walk through all possible ones, so neither the shell's limit nor an endless one will do.
//
// The argument of dots is where runsvdir shows its messages (see ps). It is given for its side effect: with it,
// runsvdir reads its own stderr from a pipe, and a byte written there wakes it (see nudge).
const superviseScript = `umask 022
h=$(ulimit -Hn); case $h in unlimited) h=65536;; esac
[ "$h" -le 65536 ] || h=65536
ulimit -Sn "$h"
exec setsid --fork runsvdir -P sv "log: %s"`

const supervisor = "runsvdir"

// Supervise starts the stack's runsvdir if it is not running. It outlives us: own session, no inherited descriptor.
// [Directory.Converge] calls it; others need not.
func (d *Directory) Supervise(ctx context.Context) error {
	unlock, err := d.lock(ctx, lockStructure)
	if err != nil {
		return err
	}
	defer unlock()
	if running, err := d.Supervised(); err != nil || running {
		return err
	}
	if _, err := lookPath(supervisor); err != nil {
		return err
	}
	if err := d.MkdirAll("sv", 0o755); err != nil {
		return err
	}
	if err := d.MkdirAll("log", 0o700); err != nil {
		return err
	}
	if err := d.startSupervisor(ctx); err != nil {
		return err
	}
	return d.awaitSupervisor(ctx)
}

func (d *Directory) startSupervisor(ctx context.Context) error {
	if err := closeOnExec(); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", fmt.Sprintf(superviseScript, strings.Repeat(".", 400)))
	cmd.Dir = d.path
	cmd.Env = d.environment(supervisor, d.path)
	cmd.SysProcAttr = d.account.attributes()
	// No pipe: what the shell says goes to a file, because runsvdir would hold a pipe open for ever.
	if err := d.MkdirAll("log", 0o700); err != nil {
		return err
	}
	root, err := d.open()
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := d.WriteFile(supervisorLog, nil, 0o600); err != nil {
		return err
	}
	log, err := root.OpenFile(supervisorLog, os.O_WRONLY|os.O_APPEND|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open the supervisor's log: %w", err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		// A shell that was killed because the context ended says only that it was killed.
		return fmt.Errorf("start runsvdir: %w%s", cmp.Or(ctx.Err(), err), d.logTail(supervisorLog))
	}
	return nil
}

const supervisorLog = "log/runsvdir.log"

// awaitSupervisor waits until runsvdir is what runs, and not merely the shell that becomes it.
func (d *Directory) awaitSupervisor(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, superviseLimit)
	defer cancel()
	for {
		if running, err := d.Supervised(); err != nil || running {
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("start runsvdir in %s: %w%s", d.path, err, d.logTail(supervisorLog))
		}
	}
}

// Supervised says whether the stack's runsvdir is running.
func (d *Directory) Supervised() (bool, error) {
	all, err := d.processes()
	if err != nil {
		return false, err
	}
	return len(all.supervisors()) > 0, nil
}

// supervisors are the stack's runsvdirs: none or one. No pid is kept in a file; a process with our mark, the right name
// and runsvdir's own process mark can be nothing else, while a number in a file may by now be anybody's.
func (s snapshot) supervisors() []process {
	return s.choose(func(p process) bool { return p.command == supervisor && p.mark == supervisor })
}

// supervisorSays is what runsvdir and the runsvs have complained about last: runsvdir shows it in its arguments.
func (d *Directory) supervisorSays(all snapshot) string {
	for _, p := range all.supervisors() {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid))
		if _, said, found := strings.Cut(string(data), "log: "); err == nil && found {
			if said = strings.Trim(said, ".\x00\n "); said != "" {
				return ": " + said
			}
		}
	}
	return ""
}

// nudge makes runsvdir look at sv/ within a second instead of five. By its nature this is a courtesy: where it fails,
// all goes on, only later.
func (d *Directory) nudge(all snapshot) {
	for _, p := range all.supervisors() {
		pipe, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/2", p.pid), os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		_, _ = pipe.Write([]byte("."))
		_ = pipe.Close()
	}
}

// touchLinks gives sv/ a time of last change that runsvdir has not seen, and one in the past: it compares whole
// seconds, and sleeps for one when the change is of the present second.
func touchLinks(root *os.Root, before time.Time) error {
	now := time.Now().Truncate(time.Second)
	if before.After(now) {
		before = now
	}
	stamp := before.Truncate(time.Second).Add(-time.Second)
	if err := root.Chtimes("sv", stamp, stamp); err != nil {
		return fmt.Errorf("set the time of sv: %w", err)
	}
	return nil
}

// changeLinks runs a change to sv/ so that runsvdir takes notice soon.
func (d *Directory) changeLinks(root *os.Root, change func() error) error {
	info, err := root.Stat("sv")
	if err != nil {
		return fmt.Errorf("look at sv: %w", err)
	}
	if err := change(); err != nil {
		return err
	}
	return touchLinks(root, info.ModTime())
}

// logTail is the end of a log for an error message.
func (d *Directory) logTail(name string) string {
	data, err := d.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	if err != nil {
		return fmt.Sprintf(" (its log cannot be read: %v)", err)
	}
	kept := &tail{limit: 2 << 10}
	_, _ = kept.Write(data)
	if text := kept.String(); text != "" {
		return "\nThe end of " + d.Path(name) + text
	}
	return ""
}
