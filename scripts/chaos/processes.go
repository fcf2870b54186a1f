package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/chaos/check"
)

// running is a process of a worker, or of one of its runs.
type running struct {
	pid     int
	command []string
}

// String is the process in a report.
func (r running) String() string {
	return fmt.Sprintf("process %d (%.160s)%s", r.pid, strings.Join(r.command, " "), standing(r.pid))
}

// standing is in which state a process is, and whose child.
func standing(pid int) string {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return ", ended meanwhile"
	}
	var words string
	for line := range strings.Lines(string(status)) {
		if name, value, _ := strings.Cut(line, ":"); name == "State" || name == "PPid" {
			words += ", " + name + " " + strings.TrimSpace(value)
		}
	}
	return words
}

// processesOf are the processes that bear the mark of a machine. Everything that a worker starts has it, in whatever
// namespace.
func processesOf(machines ...*machine) ([]running, error) {
	var marks [][]byte
	for _, m := range machines {
		marks = append(marks, []byte("\x00"+host.ProcessMark+"="+m.name+"\x00"))
	}
	var found []running
	err := eachProcess(func(pid int, folder string) {
		environment, err := os.ReadFile(filepath.Join(folder, "environ"))
		environment = append([]byte{0}, environment...)
		if err != nil || !slices.ContainsFunc(marks, func(mark []byte) bool { return bytes.Contains(environment, mark) }) {
			return
		}
		arguments, _ := os.ReadFile(filepath.Join(folder, "cmdline"))
		if len(arguments) == 0 {
			return // a zombie
		}
		found = append(found, running{pid, strings.Split(strings.TrimRight(string(arguments), "\x00"), "\x00")})
	})
	return found, err
}

// inNamespaces are the processes that see a file system in another mount namespace than ours.
func inNamespaces(device uint64) ([]running, error) {
	ours, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return nil, err
	}
	number := fmt.Sprintf(" %d:%d ", unix.Major(device), unix.Minor(device))
	var found []running
	err = eachProcess(func(pid int, folder string) {
		theirs, err := os.Readlink(filepath.Join(folder, "ns", "mnt"))
		if err != nil || theirs == ours {
			return
		}
		mounts, _ := os.ReadFile(filepath.Join(folder, "mountinfo"))
		if bytes.Contains(mounts, []byte(number)) {
			arguments, _ := os.ReadFile(filepath.Join(folder, "cmdline"))
			found = append(found, running{pid, strings.Split(string(arguments), "\x00")})
		}
	})
	return found, err
}

func eachProcess(look func(pid int, folder string)) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			look(pid, filepath.Join("/proc", entry.Name()))
		}
	}
	return nil
}

// isTest says whether a process is the stub itself.
func (r running) isTest() bool {
	return strings.HasSuffix(r.command[0], "/runner/autopkgtest") && len(r.command) > 2
}

// key is that of the request whose test a process is; empty if it is none.
func (r running) key() string {
	for _, argument := range r.command {
		if triggers, found := strings.CutPrefix(argument, "--env=ADT_TEST_TRIGGERS="); found && r.isTest() {
			return check.KeyOf(triggers)
		}
	}
	return ""
}

// testsWithin are the keys of the tests that end with a process: the one that it is, and those that it has started.
func testsWithin(all []running, victim running) (keys []string) {
	for _, one := range all {
		if key := one.key(); key != "" && one.descendsFrom(victim.pid) {
			keys = append(keys, key)
		}
	}
	return keys
}

// descendsFrom reports whether a process is another one, or its child, or its child's.
func (r running) descendsFrom(pid int) bool {
	for at := r.pid; at > 1; at = parentOf(at) {
		if at == pid {
			return true
		}
	}
	return false
}

// parentOf is 0 for a process that has ended.
func parentOf(pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if value, found := strings.CutPrefix(line, "PPid:"); found {
			parent, _ := strconv.Atoi(strings.TrimSpace(value))
			return parent
		}
	}
	return 0
}

// isScaffold says whether a process is what a run stands on: the first one of its namespaces, or its network.
func (r running) isScaffold() bool {
	return r.command[0] == "autopkgtest-testbed" || filepath.Base(r.command[0]) == "slirp4netns"
}

// kill ends the process, which may have ended meanwhile.
func (r running) kill() error {
	if err := syscall.Kill(r.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// remains are what a worker that has ended has left in its state directory: everything that lies in a folder there, but empty
// locks, of which there is one for each kind of testbed. What lies beside the folders is the worker's own, a lock or its name.
func remains(state string) ([]string, error) {
	var left []string
	entries, err := os.ReadDir(state)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		below, err := os.ReadDir(filepath.Join(state, entry.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, one := range below {
			if info, err := one.Info(); err == nil && info.Mode().IsRegular() && info.Size() == 0 &&
				strings.HasSuffix(one.Name(), ".lock") {
				continue
			}
			left = append(left, filepath.Join(entry.Name(), one.Name()))
		}
	}
	return left, nil
}
