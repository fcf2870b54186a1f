package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// runit is supervision by a runsvdir of the stack's own, which needs neither root nor anything of the machine.
type runit struct{ d *Directory }

func (r runit) usable() error { return nil }

func (r runit) process(root *os.Root, service, name string) supervisedProcess {
	return r.d.supervised(root, service, name)
}

// names asks the runit folders, which know even when there is no manifest, and the links, which know when there is no
// folder.
func (r runit) names(root *os.Root, service string) ([]string, error) {
	names, err := list(root, filepath.Join("services", service, "runit"))
	if err != nil {
		return nil, err
	}
	links, err := list(root, "sv")
	if err != nil {
		return nil, err
	}
	for _, name := range links {
		target, err := root.Readlink(filepath.Join("sv", name))
		if err == nil && target == linkTarget(service, name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// adopt shows the runit folders to the supervisor.
func (r runit) adopt(ctx context.Context, root *os.Root, service string, names []string) error {
	if err := r.d.mkdirAll(root, "sv", 0o755); err != nil {
		return err
	}
	for _, process := range names {
		name, target := filepath.Join("sv", process), linkTarget(service, process)
		present, err := root.Readlink(name)
		if err == nil && present == target {
			continue
		}
		if err == nil {
			return fmt.Errorf("process %s is already there as %s; names of processes are unique in a stack", process, present)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look at %s: %w", r.d.Path(name), err)
		}
		err = r.d.changeLinks(root, func() error { return root.Symlink(target, name) })
		if err != nil {
			return fmt.Errorf("link %s: %w", r.d.Path(name), err)
		}
	}
	return r.d.Supervise(ctx)
}

// life: a runsv waits a second before it starts a process anew that lived for less, and starts all others at once. So most ends
// are seen by the new life's beginning alone.
func (r runit) life(root *os.Root, name string) (Status, bool) {
	status, err := supervised{d: r.d, root: root, name: name, folder: "sv/" + name}.status()
	return Status{Up: status.pid != 0, PID: status.pid, Since: status.since}, err == nil && status.wantUp
}

func (r runit) problem(all snapshot) string {
	if len(all.supervisors()) == 0 {
		return "the supervisor is down"
	}
	return ""
}

// endEverything ends all processes of the stack. First the supervisor, so that nothing is started again; then each runsv
// is asked to stop its process in good order, and so is whatever has no runsv; at last nothing is asked.
func (r runit) endEverything(ctx context.Context) error {
	err := r.d.end(ctx, time.Second, func(_ snapshot, p process) bool { return p.command == supervisor && p.mark == supervisor })
	if err != nil {
		return err
	}
	err = r.d.end(ctx, sweepGrace, func(all snapshot, p process) bool {
		if p.command == "runsv" {
			return true
		}
		for parent := all[p.parent]; parent.pid != 0; parent = all[parent.parent] {
			if parent.command == "runsv" && parent.ours {
				return false
			}
		}
		// An svlogd ends by itself when the last process that writes to it has ended.
		return !strings.HasSuffix(p.mark, logMark(""))
	})
	if err != nil {
		return err
	}
	return r.d.end(ctx, time.Second, func(snapshot, process) bool { return true })
}
