package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/secrets/scan"
)

const (
	// pause is between two looks. A process that is gone before the next one is not seen: this finds what is done again and again,
	// as in a suite of tests, and proves nothing of a single short command.
	pause = 20 * time.Millisecond
	// fresh is how many looks a process is new for: between its fork and its exec it has its parent's arguments.
	fresh = 10
	// stale is after how many looks it is looked at once more: a process may exec at any time.
	stale = 250
)

// planted is a variable of processes that have a secret among their arguments on purpose: those of the test of this command, which
// runs while the whole suite is watched. A watch with that variable looks at those with the same value, and any other at none.
const planted = "SECRETS_PLANTED"

// watch looks at the arguments of all processes of the machine.
type watch struct {
	looks     map[int]int // at each process that is there
	processes int
	said      map[string]bool // what was found, each only once
}

func newWatch() *watch { return &watch{looks: map[int]int{}, said: map[string]bool{}} }

func (w *watch) run(ctx context.Context) {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		w.look()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (w *watch) look() {
	proc, err := os.Open("/proc")
	if err != nil {
		return
	}
	names, _ := proc.Readdirnames(0)
	_ = proc.Close()
	there := make(map[int]int, len(w.looks))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		looks, known := w.looks[pid]
		if !known {
			w.processes++
		}
		there[pid] = looks + 1
		if looks >= fresh && looks%stale != 0 {
			continue
		}
		arguments, err := os.ReadFile("/proc/" + name + "/cmdline")
		if err == nil {
			w.judge(pid, arguments)
		}
	}
	w.looks = there
}

// ours says whether a process is one that this watch is about. One that has ended meanwhile is not.
func ours(pid int) bool {
	environment, there := environmentOf(pid)
	value := ""
	for entry := range bytes.SplitSeq(environment, []byte{0}) {
		if text, found := bytes.CutPrefix(entry, []byte(planted+"=")); found {
			value = string(text)
		}
	}
	return there && value == os.Getenv(planted)
}

// execLimit is more than the middle of an exec takes on a machine that is busy.
const execLimit = time.Second

// environmentOf is the environment of a process. In the middle of an exec it has none, as one has that has ended and was not waited for.
func environmentOf(pid int) (environment []byte, there bool) {
	for begin := time.Now(); time.Since(begin) < execLimit; time.Sleep(time.Millisecond) {
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		switch {
		case errors.Is(err, fs.ErrPermission): // of another account, no test's process; or one that has ended, unless root asks
			return nil, !ended(pid)
		case err != nil:
			return nil, false
		case len(environment) > 0:
			return environment, true
		}
		if ended(pid) {
			return nil, false
		}
	}
	return nil, true
}

// ended reads the state behind the program's name, which stands in parentheses and may have some in it.
func ended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	state := stat[bytes.LastIndexByte(stat, ')')+1:]
	return err != nil || bytes.HasPrefix(state, []byte(" Z ")) || bytes.HasPrefix(state, []byte(" X "))
}

func (w *watch) judge(pid int, arguments []byte) {
	at, found := scan.Text(arguments)
	if !found || !ours(pid) {
		return
	}
	program, _, _ := bytes.Cut(arguments, []byte{0})
	before := bytes.ReplaceAll(arguments[max(0, at-60):at], []byte{0}, []byte{' '})
	if _, secret := scan.Text(program); secret {
		program = []byte("a program")
	}
	key := fmt.Sprintf("%s, behind %q", program, before)
	if !w.said[key] {
		w.said[key] = true
		fmt.Fprintf(os.Stderr, "secrets: a generated secret was among the arguments of process %d, %s\n", pid, key)
	}
}
