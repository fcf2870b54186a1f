package host

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestInherit(t *testing.T) {
	t.Parallel()
	all := snapshot{
		1:  {pid: 1},
		10: {pid: 10, parent: 1, ours: true, mark: "toy"},
		11: {pid: 11, parent: 10},
		12: {pid: 12, parent: 11},
		13: {pid: 13, parent: 10, other: true}, // it says itself that it belongs to another stack
		14: {pid: 14, parent: 13},
		20: {pid: 20, parent: 1},
	}
	all.inherit()
	for pid, want := range map[int]string{1: "", 10: "toy", 11: "toy", 12: "toy", 13: "", 14: "", 20: ""} {
		if p := all[pid]; p.mark != want || p.ours != (want != "") {
			t.Errorf("process %d: %+v, want %q", pid, p, want)
		}
	}
	if !all.descends(all[12], 10) || all.descends(all[20], 10) || !all.descends(all[10], 10) {
		t.Error("descent is wrong")
	}
}

func TestReadProcess(t *testing.T) {
	t.Parallel()
	p, ok := readProcess(os.Getpid())
	if !ok || p.parent != os.Getppid() || p.user != os.Geteuid() || !strings.HasPrefix(filepath.Base(os.Args[0]), p.command) || !p.exists() {
		t.Errorf("%+v, %t", p, ok)
	}
	p.start++
	if p.exists() {
		t.Error("a process with another start time is taken for the same")
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		t.Errorf("a signal to a process that is no more: %v", err)
	}
}

// What marked processes do. They print a line when they are ready.
const (
	willing  = `echo; exec sleep 1000`
	stubborn = `trap "" TERM; echo; while :; do sleep 0.2; done`
)

// startMarked starts a process that bears the folder's mark, or not.
func startMarked(t *testing.T, account Account, script string, environment ...string) (*exec.Cmd, chan error) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Env = append([]string{"PATH=" + searchPath}, environment...)
	cmd.SysProcAttr = account.attributes()
	ready, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return cmd, ended
}

func TestEnd(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	marks := []string{DirectoryMark + "=" + d.Path(), ProcessMark + "=toy"}
	_, willingEnded := startMarked(t, d.Account(), willing, marks...)
	_, stubbornEnded := startMarked(t, d.Account(), stubborn, marks...)
	stranger, strangerEnded := startMarked(t, d.Account(), willing, DirectoryMark+"="+d.Path()+"2")
	begin := time.Now()
	err := d.end(t.Context(), 300*time.Millisecond, func(_ snapshot, p process) bool { return p.mark == "toy" })
	if err != nil {
		t.Fatal(err)
	}
	if spent := time.Since(begin); spent < 300*time.Millisecond {
		t.Errorf("the unwilling one was killed after %s", spent)
	}
	<-willingEnded
	<-stubbornEnded
	select {
	case <-strangerEnded:
		t.Error("the stranger was ended too")
	default:
	}
	if err := stranger.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-strangerEnded
}

func TestEndGivesUpWithTheContext(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	_, ended := startMarked(t, d.Account(), stubborn, DirectoryMark+"="+d.Path())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := d.end(ctx, time.Hour, func(snapshot, process) bool { return true }); err == nil {
		t.Error("no error")
	}
	if err := d.end(t.Context(), 0, func(snapshot, process) bool { return true }); err != nil {
		t.Error(err)
	}
	<-ended
}

// As root we could end anybody's process. An environment is easily set, so the user counts as well.
func TestProcessesOfOtherUsersAreNotOurs(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	theirs := *d
	theirs.account = Account{Name: "somebody-else", UID: d.Account().UID + 1}
	_, ended := startMarked(t, d.Account(), willing, DirectoryMark+"="+d.Path())
	expectNobody(t, &theirs)
	if err := d.end(t.Context(), 0, func(snapshot, process) bool { return true }); err != nil {
		t.Error(err)
	}
	<-ended
}
