package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// unitProcess is a process that systemd runs, with a unit for itself and one for its log.
type unitProcess struct {
	d       *Directory
	root    *os.Root
	service string
	name    string
}

func (u unitProcess) unit() unitFile { return unitFile{u.d, u.d.unitName(u.name)} }
func (u unitProcess) log() unitFile  { return unitFile{u.d, u.d.unitName(logMark(u.name))} }

func (u unitProcess) files() []string {
	return []string{filepath.Join("systemd", u.name, "inputs")}
}

// inputs is what the next start gives the process.
func (u unitProcess) inputs() string {
	data, err := readRegular(u.root, unitInputs(u.service, u.name))
	if err != nil {
		return ""
	}
	value, _ := strings.CutPrefix(string(data), inputsMark+"=")
	return strings.TrimSuffix(value, "\n")
}

func (u unitProcess) setInputs(value string) error {
	_, err := u.d.WriteFile(unitInputs(u.service, u.name), []byte(inputsMark+"="+value+"\n"), 0o644)
	return err
}

func (u unitProcess) invalidate() error {
	if u.inputs() == "" {
		return nil
	}
	return u.setInputs(unfinished)
}

// define writes the units. Inputs come first: what is started with the units of before is restarted when it should have gone by
// these.
func (u unitProcess) define(_ context.Context, p Process, contents [][]byte) error {
	if strings.Contains(p.Name, "+") {
		return &Problem{Kind: ErrInvalid, Thing: fmt.Sprintf("the process's name %q", p.Name), Cause: "cannot be that of a unit"}
	}
	if _, err := lookPath("svlogd"); err != nil {
		return err
	}
	text, err := u.d.renderUnit(u.service, p)
	if err != nil {
		return err
	}
	logText, err := u.d.renderLogUnit(u.service, p)
	if err != nil {
		return err
	}
	if err := u.d.mkdirAll(u.root, filepath.Join("log", u.name), 0o700); err != nil {
		return err
	}
	if _, err := u.d.WriteFile(filepath.Join("log", u.name, "config"), []byte(p.Log.Filled().config()), 0o644); err != nil {
		return err
	}
	there, _, err := u.unit().read()
	if err != nil {
		return err
	}
	// A unit that was changed may have been in effect when the process was started.
	changed := there != "" && there != text || len(u.unit().overrides()) > 0
	if now := fingerprint(text, contents); changed || !sameInputs(u.inputs(), now) {
		if err := u.setInputs(newInputs(now)); err != nil {
			return err
		}
	}
	return errors.Join(u.log().write(logText), u.unit().write(text))
}

// settle starts the process, or restarts it when it has other inputs, and does the same for its log.
func (u unitProcess) settle(ctx context.Context, stopWait time.Duration) (outcome, error) {
	m, err := newManager(ctx)
	if err != nil {
		return untouched, err
	}
	defer m.close()
	if err := u.settleLog(ctx, m); err != nil {
		return untouched, err
	}
	done := untouched
	all, err := u.d.processes()
	if err != nil {
		return untouched, err
	}
	if len(u.strays(all)) > 0 {
		done = restarted
		err := u.d.end(ctx, stopWait, func(all snapshot, p process) bool {
			return slices.ContainsFunc(u.strays(all), func(stray process) bool { return stray.pid == p.pid })
		})
		if err != nil {
			return done, err
		}
	}
	s, err := m.state(ctx, u.unit().name)
	if err != nil {
		return done, err
	}
	switch {
	case s.up():
		if u.awaitInputs(ctx, m) {
			return done, nil
		}
		done, err = restarted, m.restart(ctx, u.unit().name)
	case s.active == "deactivating": // somebody has it stopped just now
		done, err = restarted, m.restart(ctx, u.unit().name)
	default:
		if done == untouched {
			done = started
		}
		err = m.start(ctx, u.unit().name)
	}
	if err != nil {
		return done, err
	}
	return done, u.awaitStop(ctx, m, stopWait)
}

// settleLog has the log written, and with today's limits. Nothing is lost between two svlogds: the pipe holds it.
func (u unitProcess) settleLog(ctx context.Context, m manager) error {
	s, err := m.state(ctx, u.log().name)
	if err != nil {
		return err
	}
	if !s.up() {
		return m.start(ctx, u.log().name)
	}
	p, ok := u.d.marked(s.pid)
	if ok && p.mark == logMark(u.name) && p.inputs != u.logInputs() {
		return m.restart(ctx, u.log().name)
	}
	return nil
}

// logInputs is what the unit of the log gives to svlogd.
func (u unitProcess) logInputs() string {
	text, _, err := u.log().read()
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(text, `"`+inputsMark+"=")
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// marked reads a process with its marks.
func (d *Directory) marked(pid int) (process, bool) {
	p, ok := readProcess(pid)
	if !ok || p.readMarks(d.path) != nil {
		return process{}, false
	}
	return p, true
}

// awaitStop waits for the process of before to be gone and the new one to be started. One that drains for longer than we may wait
// comes back by itself, with the new inputs; and one that dies at once is WaitReady's to report.
func (u unitProcess) awaitStop(ctx context.Context, m manager, stopWait time.Duration) error {
	for begin := time.Now(); time.Since(begin) < stopWait+killWait; {
		if u.awaitInputs(ctx, m) {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("start process %s: %w", u.name, context.Cause(ctx))
		}
		s, err := m.state(ctx, u.unit().name)
		if err != nil {
			return err
		}
		if p, ok := u.d.marked(s.pid); s.pid == 0 && s.active != "deactivating" || ok && p.mark == u.name && p.inputs == u.inputs() {
			return nil
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("start process %s: %w", u.name, err)
		}
	}
	return fmt.Errorf("process %s does not end, not even by SIGKILL", u.name)
}

// awaitInputs waits for the process to run with the inputs of today; other inputs, or a process that keeps ending, are the answer
// no.
func (u unitProcess) awaitInputs(ctx context.Context, m manager) bool {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		if s, err := m.state(ctx, u.unit().name); err == nil && s.up() {
			if p, ok := u.d.marked(s.pid); ok && p.mark == u.name && p.inputs != "" {
				return p.inputs == u.inputs()
			}
		}
		if sleep(ctx, pause) != nil {
			return false
		}
	}
}

// strays are processes that bear the name and are not in the unit's control group: somebody has started a second one by hand. While
// the process itself runs, only a twin of it counts, as under runit. One that has ended since the snapshot, as what a process forks of
// itself for a moment, is in no control group any more, and no stray.
func (u unitProcess) strays(all snapshot) []process {
	inUnit := func(p process) bool { return unitOf(p.pid) == u.unit().name }
	twins := map[string]bool{}
	for _, p := range all.choose(inUnit) {
		twins[p.command] = true
	}
	return all.choose(func(p process) bool {
		return p.mark == u.name && !inUnit(p) && (len(twins) == 0 || twins[p.command]) && p.exists()
	})
}

// unitOf is the unit of a stack in whose control group a process is; empty when it is in none.
func unitOf(pid int) string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		for part := range strings.SplitSeq(strings.TrimSuffix(line, "\n"), "/") {
			if strings.HasPrefix(part, unitPrefix) && strings.HasSuffix(part, unitSuffix) {
				return part
			}
		}
	}
	return ""
}

// ownUnit is the unit that was made for a process; empty when it is in none or in somebody else's, as what a stack without systemd may
// have been started from.
func (p process) ownUnit() string {
	unit := unitOf(p.pid)
	if p.mark == "" || !strings.HasSuffix(unit, "-"+unitPart(p.mark)+unitSuffix) {
		return ""
	}
	return unit
}

func (u unitProcess) inspect(ctx context.Context, all snapshot) (Status, []string) {
	problems := u.unit().problems()
	problems = append(problems, u.log().problems()...)
	if !u.unit().enabled() {
		problems = append(problems, "will not start at the next boot: the unit "+u.unit().name+" is disabled")
	}
	m, err := newManager(ctx)
	if err != nil {
		return Status{}, append(problems, "cannot be looked at: "+err.Error())
	}
	defer m.close()
	s, err := m.state(ctx, u.unit().name)
	if err != nil {
		return Status{}, append(problems, "cannot be looked at: "+err.Error())
	}
	state := Status{Up: s.up(), PID: s.pid, Since: s.since}
	strays := u.strays(all)
	main, running := all[s.pid]
	switch {
	case len(strays) > 0:
		problems = append(problems, fmt.Sprintf("has left process %d behind, which has lost its supervisor", strays[0].pid))
	case !state.Up || !running:
		problems = append(problems, "is down")
	case u.inputs() == unfinished:
		problems = append(problems, "waits for the end of a change that was interrupted")
	case main.inputs != u.inputs():
		problems = append(problems, "runs with what it was given before the last change")
	case s.stale:
		problems = append(problems, "has a unit that systemd has not read since it was changed")
	}
	if s, err := m.state(ctx, u.log().name); err == nil && !s.up() {
		problems = append(problems, "keeps no log: the unit "+u.log().name+" is down")
	}
	return state, problems
}

func (u unitProcess) hide(context.Context) error { return u.unit().disable() }

// halt stops the process, then its log, which has all of it by then, and what neither unit knows of.
func (u unitProcess) halt(ctx context.Context) error {
	m, err := newManager(ctx)
	if err != nil {
		return err
	}
	defer m.close()
	for _, unit := range []unitFile{u.unit(), u.log()} {
		if foreign, err := unit.foreign(); foreign || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		if err := m.stop(ctx, unit.name); err != nil {
			return err
		}
	}
	return u.d.end(ctx, mopUpGrace, func(_ snapshot, p process) bool { return p.mark == u.name })
}

func (u unitProcess) forget(ctx context.Context) error {
	m, err := newManager(ctx)
	if err != nil {
		return err
	}
	defer m.close()
	if err := errors.Join(u.unit().remove(), u.log().remove()); err != nil {
		return err
	}
	if err := m.reload(ctx); err != nil {
		return err
	}
	for _, folder := range []string{filepath.Dir(unitInputs(u.service, u.name)), filepath.Join("log", u.name)} {
		if err := u.d.remove(ctx, u.root, folder); err != nil {
			return err
		}
	}
	return nil
}
