package host

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
)

// define writes the runit folder. It is complete before a supervisor hears of it.
func (s supervised) define(_ context.Context, p Process, contents [][]byte) error {
	if err := s.d.mkdirAll(s.root, filepath.Dir(s.folder), 0o755); err != nil {
		return err
	}
	if err := s.logService(p); err != nil {
		return err
	}
	if err := s.runScript(p, contents); err != nil {
		return err
	}
	_, err := s.d.WriteFile(filepath.Join(s.folder, stopWaitName), []byte(p.stopWait().String()), 0o644)
	return err
}

func (s supervised) files() []string {
	return []string{filepath.Join("runit", s.name, "run"), filepath.Join("runit", s.name, "log/run")}
}

// invalidate leaves the word for unfinished in the script.
func (s supervised) invalidate() error {
	name := filepath.Join(s.folder, "run")
	data, err := readRegular(s.root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.d.WriteFile(name, []byte(markUnfinished(string(data))), 0o755)
	return err
}

// runScript leaves the script as it is when it says what it should, so that the process that it started counts as up to
// date.
func (s supervised) runScript(p Process, contents [][]byte) error {
	blank, err := s.d.render(s.service, p, "")
	if err != nil {
		return err
	}
	now := fingerprint(blank, contents)
	inputs := s.inputs()
	if !sameInputs(inputs, now) {
		inputs = newInputs(now)
	}
	script, err := s.d.render(s.service, p, inputs)
	if err != nil {
		return err
	}
	_, err = s.d.WriteFile(filepath.Join(s.folder, "run"), []byte(script), 0o755)
	return err
}

func (s supervised) logService(p Process) error {
	script, err := s.d.renderLog(s.name)
	if err != nil {
		return err
	}
	if err := s.d.mkdirAll(s.root, filepath.Join("log", s.name), 0o700); err != nil {
		return err
	}
	newConfig, err := s.d.WriteFile(filepath.Join("log", s.name, "config"), []byte(p.Log.Filled().config()), 0o644)
	if err != nil {
		return err
	}
	folder := filepath.Join(s.folder, "log")
	newScript, err := s.d.WriteFile(filepath.Join(folder, "run"), []byte(script), 0o755)
	if err != nil || !newConfig && !newScript {
		return err
	}
	// An svlogd that runs already reads both anew. There is none when the process is new.
	err = supervised{d: s.d, root: s.root, name: logMark(s.name), folder: folder}.control(commandTerm)
	if errors.Is(err, errNoSupervisor) {
		return nil
	}
	return err
}
