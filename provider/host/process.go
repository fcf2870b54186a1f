package host

import (
	"bytes"
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

// The marks in the environment of every process of a stack.
const (
	DirectoryMark = "AUTOPKGTEST_CLOUD_DIRECTORY" // the folder
	ProcessMark   = "AUTOPKGTEST_CLOUD_PROCESS"   // the process's name
	// inputsMark tells what a process was started with: the same value as in its run script as long as neither files,
	// program nor arguments have changed since.
	inputsMark = "AUTOPKGTEST_CLOUD_INPUTS"
)

// process is what /proc tells of a process.
type process struct {
	pid     int
	parent  int
	session int
	user    int
	start   uint64 // clock ticks since boot; with the pid it names a process for ever
	command string // the kernel's name of it
	ours    bool   // it bears the folder's mark, or descends from one that does
	other   bool   // it bears another folder's mark
	mark    string // its ProcessMark, or that of the ancestor; empty when nobody knows
	where   string // of a testbed's process that nothing else tells of: where in the stack's folder it is
	inputs  string
}

// snapshot is all processes of the machine at one moment, by pid.
type snapshot map[int]process

// processes looks through /proc. The environment is the evidence, because it is handed down to all children and
// cannot be lost; pid files can. Only the account's own processes count, and those of its testbeds: whoever else sets
// our mark in an environment does not get us to touch anything.
func (d *Directory) processes() (snapshot, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("look for processes: %w", err)
	}
	all := snapshot{}
	ranges := d.account.subordinates()
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		p, ok := readProcess(pid)
		if !ok {
			continue
		}
		if subordinate := within(p.user, ranges); subordinate || p.user == d.account.UID || d.anyUser && p.user != 0 {
			if err := p.readMarks(d.path); err != nil && p.user == d.account.UID {
				return nil, d.blind(err)
			}
			if subordinate && !p.ours && !p.other {
				p.readPlace(d.path)
			}
		}
		all[pid] = p
	}
	all.inherit()
	return all, nil
}

// within says whether a user id is a subordinate one.
func within(user int, ranges []idRange) bool {
	return slices.ContainsFunc(ranges, func(r idRange) bool { return r.first <= user && user < r.first+r.count })
}

// inherit marks the descendants of marked processes. The environment of a process in a testbed cannot always be read:
// it belongs to a subordinate id.
func (s snapshot) inherit() {
	for changed := true; changed; {
		changed = false
		for pid, p := range s {
			if parent, ok := s[p.parent]; ok && !p.ours && !p.other && parent.ours {
				p.ours, p.mark, p.where = true, parent.mark, parent.where
				s[pid], changed = p, true
			}
		}
	}
}

// descends says whether a process is the ancestor or one of its descendants.
func (s snapshot) descends(p process, ancestor int) bool {
	for range len(s) {
		if p.pid == ancestor {
			return true
		}
		next, ok := s[p.parent]
		if !ok {
			return false
		}
		p = next
	}
	return false
}

// choose returns the folder's own processes that the filter wants, by pid.
func (s snapshot) choose(want func(process) bool) []process {
	var chosen []process
	for _, p := range s {
		if p.ours && want(p) {
			chosen = append(chosen, p)
		}
	}
	slices.SortFunc(chosen, func(a, b process) int { return a.pid - b.pid })
	return chosen
}

// readProcess reads what everybody may read of a process. A zombie is gone as far as we are concerned.
func readProcess(pid int) (process, bool) {
	folder := filepath.Join("/proc", strconv.Itoa(pid))
	data, err := os.ReadFile(folder + "/stat")
	if err != nil {
		return process{}, false
	}
	info, err := os.Stat(folder)
	if err != nil {
		return process{}, false
	}
	// "PID (NAME) STATE PARENT GROUP SESSION ...", where NAME may hold anything; the start time is field 22.
	text := string(data)
	opening, closing := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if opening < 0 || closing < opening {
		return process{}, false
	}
	fields := strings.Fields(text[closing+1:])
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return process{}, false
	}
	p := process{pid: pid, command: text[opening+1 : closing], user: ownerOf(info)}
	var errs [3]error
	p.parent, errs[0] = strconv.Atoi(fields[1])
	p.session, errs[1] = strconv.Atoi(fields[3])
	p.start, errs[2] = strconv.ParseUint(fields[19], 10, 64)
	return p, errors.Join(errs[:]...) == nil
}

// blind is the error for a root that is less than that, as in a container.
func (d *Directory) blind(err error) error {
	return &Problem{Kind: ErrAccount, Thing: "root",
		Cause: fmt.Sprintf("may not look at the processes of %q here", d.account.Name), Err: err,
		WayOut: fmt.Sprintf("Run this as %q itself; or, in a container, give root the capability SYS_PTRACE.", d.account.Name)}
}

// readMarks reads the environment. That of other users is closed to a plain user, and a process that is gone has none;
// both just leave the process unmarked.
func (p *process) readMarks(path string) error {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid), "environ"))
	if err != nil {
		// A process of root's that even root may not look into, as a sandbox's first one, cannot be ours: no account
		// of a stack is root.
		if errors.Is(err, fs.ErrPermission) && os.Geteuid() == 0 && p.user != 0 {
			return err
		}
		return nil
	}
	var mark, inputs string
	for variable := range bytes.SplitSeq(data, []byte{0}) {
		key, value, _ := bytes.Cut(variable, []byte("="))
		switch string(key) {
		case DirectoryMark:
			p.ours = string(value) == path
			p.other = !p.ours
		case ProcessMark:
			mark = string(value)
		case inputsMark:
			inputs = string(value)
		}
	}
	if p.ours {
		p.mark, p.inputs = mark, inputs
	}
	return nil
}

// readPlace is about processes of testbeds: their environment is closed to the account, or was wiped, but where they are
// it may see. That would be too little evidence to end a person's shell, and is enough for a subordinate id.
func (p *process) readPlace(path string) {
	for _, link := range []string{"cwd", "root"} {
		place, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(p.pid), link))
		if err == nil && strings.HasPrefix(place, path+"/") {
			p.ours, p.where = true, place
			return
		}
	}
}

// exists says whether this very process is still there.
func (p process) exists() bool {
	now, ok := readProcess(p.pid)
	return ok && now.start == p.start
}

// signal sends to this very process: os.FindProcess holds it by a descriptor, so that between our look at the start time
// and the signal no other process can have got its pid.
func (p process) signal(signal syscall.Signal) error {
	handle, err := os.FindProcess(p.pid)
	if err != nil {
		return fmt.Errorf("find process %d (%s): %w", p.pid, p.command, err)
	}
	if p.exists() {
		err = handle.Signal(signal)
	}
	err = errors.Join(err, handle.Release())
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to process %d (%s): %w", signal, p.pid, p.command, err)
	}
	return nil
}

// How long end waits for killed processes to vanish, and how often it looks.
const (
	killWait = 10 * time.Second
	pause    = 20 * time.Millisecond
)

// end ends all processes of the folder that are wanted: TERM, then after the grace KILL, again and again until none is left,
// because a process may fork while we look. A grace of zero kills at once.
func (d *Directory) end(ctx context.Context, grace time.Duration, want func(snapshot, process) bool) error {
	begin := time.Now()
	asked := map[int]bool{}
	for {
		all, err := d.processes()
		if err != nil {
			return err
		}
		left := all.choose(func(p process) bool { return want(all, p) })
		if len(left) == 0 {
			return nil
		}
		spent := time.Since(begin)
		var refused error
		for _, p := range left {
			if spent >= grace {
				refused = errors.Join(refused, p.signal(syscall.SIGKILL))
			} else if !asked[p.pid] {
				asked[p.pid] = true
				refused = errors.Join(refused, p.signal(syscall.SIGTERM))
			}
		}
		if spent > grace+killWait {
			return errors.Join(refused,
				fmt.Errorf("process %d (%s) does not end, not even by SIGKILL", left[0].pid, left[0].command))
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("end process %d (%s): %w", left[0].pid, left[0].command, err)
		}
	}
}

// sleep pauses, unless the context ends first.
func sleep(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
