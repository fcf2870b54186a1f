package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
)

// runit writes the runit folders of all processes, each complete before a supervisor hears of it.
func (c *convergence) runit(context.Context) error {
	for _, p := range c.s.Processes {
		if err := c.logService(p); err != nil {
			return err
		}
		contents, err := c.inputs(p)
		if err != nil {
			return err
		}
		if err := c.runScript(p, contents); err != nil {
			return err
		}
		_, err = c.d.WriteFile(filepath.Join(runitFolder(c.s.Name, p.Name), stopWaitName), []byte(p.stopWait().String()), 0o644)
		if err != nil {
			return err
		}
	}
	return nil
}

// inputs is what the process depends on beside its script.
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

// runScript leaves the script as it is when it says what it should, so that the process that it started counts as up to
// date.
func (c *convergence) runScript(p Process, contents [][]byte) error {
	blank, err := c.d.render(c.s.Name, p, "")
	if err != nil {
		return err
	}
	now := fingerprint(blank, contents)
	inputs := c.of(p).inputs()
	if !sameInputs(inputs, now) {
		inputs = newInputs(now)
	}
	script, err := c.d.render(c.s.Name, p, inputs)
	if err != nil {
		return err
	}
	_, err = c.d.WriteFile(filepath.Join(runitFolder(c.s.Name, p.Name), "run"), []byte(script), 0o755)
	return err
}

func (c *convergence) logService(p Process) error {
	name := p.Name
	script, err := c.d.renderLog(name)
	if err != nil {
		return err
	}
	if err := c.d.mkdirAll(c.root, filepath.Join("log", name), 0o700); err != nil {
		return err
	}
	newConfig, err := c.d.WriteFile(filepath.Join("log", name, "config"), []byte(p.Log.Filled().config()), 0o644)
	if err != nil {
		return err
	}
	folder := filepath.Join(runitFolder(c.s.Name, name), "log")
	newScript, err := c.d.WriteFile(filepath.Join(folder, "run"), []byte(script), 0o755)
	if err != nil || !newConfig && !newScript {
		return err
	}
	// An svlogd that runs already reads both anew. There is none when the process is new.
	err = supervised{d: c.d, root: c.root, name: logMark(name), folder: folder}.control(commandTerm)
	if errors.Is(err, errNoSupervisor) {
		return nil
	}
	return err
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
		for _, name := range []string{"run", "log/run"} {
			if err := record(filepath.Join("runit", p.Name, name), false); err != nil {
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
