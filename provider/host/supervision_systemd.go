package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// systemd is supervision by the machine's own systemd: each process is a unit, which is started at boot.
type systemd struct{ d *Directory }

func (s systemd) usable() error { return CheckSystem() }

func (s systemd) process(root *os.Root, service, name string) supervisedProcess {
	return unitProcess{d: s.d, root: root, service: service, name: name}
}

// names asks the units, which know even when there is no folder, and the folder, which knows when a unit was removed by hand.
func (s systemd) names(root *os.Root, service string) ([]string, error) {
	names, err := list(root, filepath.Join("services", service, "systemd"))
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !goodName.MatchString(name) })
	units, err := s.d.unitFiles()
	if err != nil {
		return nil, err
	}
	for _, o := range units {
		if o.service == service && !o.isLog() && goodName.MatchString(o.process) && !slices.Contains(names, o.process) {
			names = append(names, o.process)
		}
	}
	slices.Sort(names)
	return names, nil
}

// adopt takes away what changes the units, has them started at boot, and tells systemd of them where it does not know them as they
// are.
func (s systemd) adopt(ctx context.Context, root *os.Root, service string, names []string) error {
	m, err := newManager(ctx)
	if err != nil {
		return err
	}
	defer m.close()
	known := true
	for _, name := range names {
		p := unitProcess{d: s.d, root: root, service: service, name: name}
		if !p.unit().enabled() {
			known = false
		}
		if err := errors.Join(p.unit().clear(), p.log().clear(), p.unit().enable()); err != nil {
			return err
		}
		for _, unit := range []unitFile{p.unit(), p.log()} {
			state, err := m.state(ctx, unit.name)
			if err != nil {
				return err
			}
			known = known && state.loaded && !state.stale
		}
	}
	if known {
		return nil
	}
	return m.reload(ctx)
}

// life has the moment of the last end, before whatever came since.
func (s systemd) life(_ *os.Root, name string) (Status, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), checkLimit)
	defer cancel()
	m, err := newManager(ctx)
	if err != nil {
		return Status{}, false
	}
	defer m.close()
	state, err := m.state(ctx, s.d.unitName(name))
	return Status{Up: state.sub != "auto-restart", Since: state.died}, err == nil
}

func (s systemd) problem(snapshot) string {
	if err := s.usable(); err != nil {
		return err.Error()
	}
	return ""
}

// endEverything stops the units of all processes side by side, then those of the logs, and removes them. Units whose files were
// removed by hand are known by the processes in them.
func (s systemd) endEverything(ctx context.Context) error {
	m, err := newManager(ctx)
	if err != nil {
		return err
	}
	defer m.close()
	files, err := s.d.unitFiles()
	if err != nil {
		return err
	}
	all, err := s.d.processes()
	if err != nil {
		return err
	}
	var processes, logs []string
	add := func(to *[]string, unit string) {
		if !slices.Contains(*to, unit) {
			*to = append(*to, unit)
		}
	}
	for file, o := range files {
		if o.isLog() {
			add(&logs, file.name)
			continue
		}
		if err := file.disable(); err != nil {
			return err
		}
		add(&processes, file.name)
	}
	for _, p := range all.choose(func(process) bool { return true }) {
		unit := p.ownUnit()
		switch {
		case unit == "" || slices.Contains(logs, unit):
		case filepath.Base(p.mark) == "log":
			add(&logs, unit)
		default:
			add(&processes, unit)
		}
	}
	for _, units := range [][]string{processes, logs} {
		if err := s.stopAll(ctx, m, units); err != nil {
			return err
		}
	}
	for _, unit := range slices.Concat(processes, logs) {
		if err := (unitFile{s.d, unit}).remove(); err != nil {
			return err
		}
	}
	if len(processes)+len(logs) > 0 {
		if err := m.reload(ctx); err != nil {
			return err
		}
	}
	return s.d.end(ctx, time.Second, func(snapshot, process) bool { return true })
}

// stopAll stops units side by side, and kills what takes longer than a sweep waits for anybody.
func (s systemd) stopAll(ctx context.Context, m manager, units []string) error {
	errs := make([]error, len(units))
	var group sync.WaitGroup
	for i, unit := range units {
		group.Go(func() {
			impatience := time.AfterFunc(sweepGrace, func() { m.kill(ctx, unit) })
			defer impatience.Stop()
			errs[i] = m.stop(ctx, unit)
		})
	}
	group.Wait()
	return errors.Join(errs...)
}
