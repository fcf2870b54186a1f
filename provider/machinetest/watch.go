package machinetest

import (
	"os/exec"
	"syscall"
	"time"
)

// watcher ends the container and removes what it was made of, as soon as nobody holds the other end of its standard input. The
// kernel lets go of that for us however our process ends.
const watcher = `
cat >/dev/null
name=$1 folder=$2
for turn in 1 2 3 4 5; do
	lxc-stop --name "$name" --lxcpath "$folder" --kill 2>/dev/null
	[ "$(lxc-info --name "$name" --lxcpath "$folder" --state --no-humanize 2>/dev/null)" = RUNNING ] || break
	sleep 1
done
rm -rf --one-file-system -- "$folder"
`

// watchLimit bounds the end of a machine.
const watchLimit = 30 * time.Second

// watch starts the watcher, and has the test wait for the end of its work.
func (m *Machine) watch() {
	m.t.Helper()
	cmd := exec.Command("/bin/sh", "-c", watcher, "watcher", m.name, m.folder)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // the terminal's Ctrl-C is not for it
	hold, err := cmd.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		_ = hold.Close()
		kill := time.AfterFunc(watchLimit, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		if err := cmd.Wait(); err != nil {
			m.t.Errorf("the machine could not be removed: %v; see %s", err, m.folder)
		}
	})
}
