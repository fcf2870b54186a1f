package hosttest

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// PIDs are the processes of a service, by their names, as the supervisor knows them.
func PIDs(t testing.TB, d *host.Directory, service string) map[string]int {
	t.Helper()
	found, err := d.Inspect(t.Context(), service)
	if err != nil {
		t.Fatal(err)
	}
	pids := map[string]int{}
	for name, status := range found.Processes {
		pids[name] = status.PID
	}
	return pids
}

// Processes finds the processes of a stack by their marks, whoever knows of them: all, or those of one name.
func Processes(folder, name string) []int {
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		environment, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		marks := bytes.Split(environment, []byte{0})
		has := func(key, value string) bool {
			return slices.ContainsFunc(marks, func(mark []byte) bool { return string(mark) == key+"="+value })
		}
		if has(host.DirectoryMark, folder) && (name == "" || has(host.ProcessMark, name)) {
			pids = append(pids, pid)
		}
	}
	return pids
}
