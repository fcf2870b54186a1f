package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// convergence is one call of Converge.
type convergence struct {
	d      *Directory
	root   *os.Root
	s      Service
	old    manifest
	absent map[string]bool // processes of which there was none
	report Report
}

// Converge makes the folder agree with the definition: files first, then the binary, Prepare, the processes, and last
// the manifest. Only processes whose inputs changed are restarted: TERM, which drains, at most StopWait, then KILL. It
// returns once each process has been started; whether it serves is [Directory.WaitReady]'s business. Called again it
// does nothing, and after an interruption at any moment it finishes the work.
func (d *Directory) Converge(ctx context.Context, s Service) (Report, error) {
	if err := s.validate(); err != nil {
		return Report{}, err
	}
	unlock, err := d.lock(ctx, lockService+s.Name)
	if err != nil {
		return Report{}, err
	}
	defer unlock()
	root, err := d.open()
	if err != nil {
		return Report{}, err
	}
	defer root.Close()
	c := &convergence{d: d, root: root, s: s, absent: map[string]bool{}}
	for _, step := range []func(context.Context) error{
		c.begin, c.checkPorts, c.removeProcesses, c.files, c.binary, c.prepare, c.define, c.adopt, c.processes, c.finish,
	} {
		if err := step(ctx); err != nil {
			return c.report, fmt.Errorf("put service %s in place: %w", s.Name, err)
		}
		if err := ctx.Err(); err != nil {
			return c.report, fmt.Errorf("put service %s in place: %w", s.Name, context.Cause(ctx))
		}
	}
	return c.report, nil
}

func (c *convergence) begin(context.Context) error {
	m, err := readMark(c.root, c.d.path)
	if err == nil {
		err = m.belongsTo(c.d.stack, c.d.path)
	}
	if err == nil {
		err = c.d.supervision().usable()
	}
	if err != nil {
		return err
	}
	// A manifest that cannot be read is like none: all is looked at anew.
	if c.old, err = readManifest(c.root, c.s.Name); err != nil {
		c.old = manifest{}
		c.report.Created = errors.Is(err, fs.ErrNotExist)
	}
	return c.d.mkdirAll(c.root, "log", 0o700)
}

// path is a name inside the service's folder, relative to the stack's.
func (c *convergence) path(elem ...string) string {
	return filepath.Join(append([]string{"services", c.s.Name}, elem...)...)
}

func (c *convergence) of(p Process) supervisedProcess { return c.process(p.Name) }

func (c *convergence) process(name string) supervisedProcess {
	return c.d.supervision().process(c.root, c.s.Name, name)
}

// checkPorts comes before anything is changed: a service that works is not stopped for one that cannot.
func (c *convergence) checkPorts(context.Context) error {
	own, err := c.d.supervision().names(c.root, c.s.Name)
	if err != nil {
		return err
	}
	for _, p := range c.s.Processes { // they run on when somebody has removed the service's folder
		own = append(own, p.Name)
	}
	for _, p := range c.s.Processes {
		for _, address := range p.Listen {
			ip, port, err := splitAddress(address)
			if err != nil {
				return err
			}
			problem := CheckPort(ip, port)
			if !errors.Is(problem, ErrPortTaken) {
				if problem != nil {
					return problem
				}
				continue
			}
			all, err := c.d.processes()
			if err != nil {
				return err
			}
			found := listenersOf(ip, port)
			ours := func(by socket) bool { return slices.Contains(own, all[by.pid].mark) }
			if len(found) == 0 || slices.ContainsFunc(found, func(by socket) bool { return !ours(by) }) {
				return fmt.Errorf("process %s cannot start: %w", p.Name, problem)
			}
		}
	}
	return nil
}

// removeProcesses ends what is no longer in the definition, first, because its successor may want its port.
func (c *convergence) removeProcesses(ctx context.Context) error {
	present, err := c.d.supervision().names(c.root, c.s.Name)
	if err != nil {
		return err
	}
	for _, name := range present {
		if slices.ContainsFunc(c.s.Processes, func(p Process) bool { return p.Name == name }) {
			continue
		}
		if err := dismiss(ctx, c.process(name)); err != nil {
			return err
		}
		c.report.Removed = append(c.report.Removed, name)
	}
	return nil
}

// files writes what differs and removes what is no longer in the definition.
func (c *convergence) files(ctx context.Context) error {
	var changed []File
	for _, file := range c.s.Files {
		if !same(c.root, c.path(file.Name), file.Content, file.perm(), c.d.account.UID) {
			changed = append(changed, file)
		}
	}
	for _, p := range c.s.Processes {
		if slices.ContainsFunc(changed, func(f File) bool { return p.reads(f.Name) }) {
			if err := c.of(p).invalidate(); err != nil {
				return err
			}
		}
	}
	for _, file := range changed {
		if _, err := c.d.WriteFile(c.path(file.Name), file.Content, file.perm()); err != nil {
			return err
		}
		c.report.Wrote = append(c.report.Wrote, file.Name)
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
	}
	for name := range c.old.Files {
		kept := slices.ContainsFunc(c.s.Files, func(f File) bool { return f.Name == name })
		if !kept && filepath.IsLocal(name) && !reserved(name) {
			if err := ignoreAbsent(c.root.Remove(c.path(name))); err != nil {
				return fmt.Errorf("remove a file of old: %w", err)
			}
		}
	}
	for _, folder := range slices.Concat(c.s.Folders, c.s.Data) {
		if err := c.d.mkdirAll(c.root, c.path(folder), 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (p Process) reads(name string) bool { return p.Reads == nil || slices.Contains(p.Reads, name) }

func (c *convergence) binary(ctx context.Context) error {
	if c.s.Binary == nil {
		return nil
	}
	_, err := c.d.InstallBinary(ctx, *c.s.Binary)
	return err
}

func (c *convergence) prepare(ctx context.Context) error {
	if slices.ContainsFunc(c.s.Makes, func(name string) bool { return !c.isThere(name) }) {
		for _, p := range c.s.Processes {
			if err := c.of(p).invalidate(); err != nil {
				return err
			}
		}
	}
	if c.s.Prepare != nil {
		if err := c.s.Prepare(ctx); err != nil {
			return err
		}
	}
	for _, name := range c.s.Makes {
		if !c.isThere(name) {
			return fmt.Errorf("the preparation did not make %s", c.d.ServicePath(c.s.Name, name))
		}
	}
	return nil
}

func (c *convergence) isThere(name string) bool {
	_, err := c.root.Lstat(c.path(name))
	return err == nil
}

// define writes down how all processes are started.
func (c *convergence) define(ctx context.Context) error {
	for _, p := range c.s.Processes {
		contents, err := c.inputs(p)
		if err != nil {
			return err
		}
		if err := c.of(p).define(ctx, p, contents); err != nil {
			return err
		}
	}
	return nil
}

// inputs is what the process depends on beside its definition.
func (c *convergence) inputs(p Process) ([][]byte, error) {
	var contents [][]byte
	for _, file := range c.s.Files {
		if p.reads(file.Name) {
			contents = append(contents, []byte(file.Name), file.Content)
		}
	}
	for _, name := range c.s.Makes {
		data, err := readRegular(c.root, c.path(name))
		if err != nil {
			return nil, fmt.Errorf("read what the preparation made: %w", err)
		}
		contents = append(contents, []byte(name), data)
	}
	return contents, nil
}

// adopt gives the processes, whose definitions are complete now, to the supervision. From here on they may start.
func (c *convergence) adopt(ctx context.Context) error {
	all, err := c.d.processes()
	if err != nil {
		return err
	}
	var names []string
	for _, p := range c.s.Processes {
		c.absent[p.Name] = len(all.choose(func(q process) bool { return q.mark == p.Name })) == 0
		names = append(names, p.Name)
	}
	return c.d.supervision().adopt(ctx, c.root, c.s.Name, names)
}

// processes brings all of them up side by side: stopping one may take long.
func (c *convergence) processes(ctx context.Context) error {
	outcomes, errs := make([]outcome, len(c.s.Processes)), make([]error, len(c.s.Processes))
	var group sync.WaitGroup
	for i, p := range c.s.Processes {
		group.Go(func() { outcomes[i], errs[i] = c.of(p).settle(ctx, p.stopWait()) })
	}
	group.Wait()
	for i, p := range c.s.Processes {
		switch {
		case outcomes[i] == restarted:
			c.report.Restarted = append(c.report.Restarted, p.Name)
		case outcomes[i] == started || c.absent[p.Name]:
			c.report.Started = append(c.report.Started, p.Name)
		}
	}
	return errors.Join(errs...)
}

// finish writes the manifest, and with it says that all is in place.
func (c *convergence) finish(ctx context.Context) error {
	m := manifest{Service: c.s.Name, Format: c.s.Format, Files: map[string]manifestFile{}, Data: c.s.Data,
		Makes: c.s.Makes, Processes: []manifestProcess{}}
	record := func(name string, secret bool) error {
		f, err := describe(c.root, c.path(name), secret)
		if err != nil {
			return fmt.Errorf("note what was written: %w", err)
		}
		m.Files[name] = f
		return nil
	}
	for _, file := range c.s.Files {
		if err := record(file.Name, file.Secret); err != nil {
			return err
		}
	}
	for _, p := range c.s.Processes {
		m.Processes = append(m.Processes, manifestProcess{Name: p.Name})
		for _, name := range c.of(p).files() {
			if err := record(name, false); err != nil {
				return err
			}
		}
	}
	if b := c.s.Binary; b != nil {
		info, err := c.root.Lstat(filepath.Join("bin", b.file()))
		if err != nil {
			return fmt.Errorf("look at the installed program: %w", err)
		}
		m.Binary = &manifestBinary{Name: b.Name, SHA256: b.SHA256, Size: info.Size()}
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the manifest: %w", err)
	}
	if _, err := c.d.WriteFile(c.path(manifestName), append(data, '\n'), 0o600); err != nil {
		return err
	}
	return c.d.pruneBinaries(ctx, c.root)
}
