//go:build component

package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConvergeIsIdempotent(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	s := toy(t, d, map[string]string{"toy-a": "stay", "toy-b": "stay"})
	if i := inspect(t, d, "toy"); i.Present || !strings.Contains(i.Problem, "is gone") {
		t.Errorf("before: %+v", i)
	}
	want := Report{Created: true, Wrote: []string{"etc/toy.conf", "etc/secret.conf"}, Started: []string{"toy-a", "toy-b"}}
	if difference := cmp.Diff(want, converge(t, d, s)); difference != "" {
		t.Error(difference)
	}
	healthy(t, d, s)
	before := find1(t, d, named("toy-a"))
	if report := converge(t, d, s); report.Changed() {
		t.Errorf("again: %+v", report)
	}
	if !before.exists() {
		t.Error("the process was restarted for nothing")
	}
}

// BenchmarkInspect is what a plan costs for each service.
func BenchmarkInspect(b *testing.B) {
	d := newDirectory(b)
	s := toy(b, d, map[string]string{"toy-a": "stay", "toy-b": "stay"})
	converge(b, d, s)
	for b.Loop() {
		inspect(b, d, "toy")
	}
}

func TestConvergeRestartsWhoReadsWhatChanged(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	s := toy(t, d, map[string]string{"toy-a": "stay", "toy-b": "stay", "toy-c": "stay"})
	s.Processes[1].Reads = []string{"etc/secret.conf"}
	s.Processes[2].Reads = []string{}
	converge(t, d, s)
	for _, step := range []struct {
		name   string
		change func()
		want   Report
	}{
		{"file for one", func() { s.Files[0].Content = []byte("a = 2\n") },
			Report{Wrote: []string{"etc/toy.conf"}, Restarted: []string{"toy-a"}}},
		{"secret for two", func() { s.Files[1].Content = []byte("password = y\n") },
			Report{Wrote: []string{"etc/secret.conf"}, Restarted: []string{"toy-a", "toy-b"}}},
		{"mode", func() { s.Files[0].Perm = 0o600 }, Report{Wrote: []string{"etc/toy.conf"}, Restarted: []string{"toy-a"}}},
		{"environment", func() { s.Processes[2].Env = append(s.Processes[2].Env, "A=b") }, Report{Restarted: []string{"toy-c"}}},
		{"fewer processes", func() { s.Processes = s.Processes[:2] }, Report{Removed: []string{"toy-c"}}},
		{"fewer files", func() { s.Files, s.Processes[1].Reads = s.Files[:1], nil },
			Report{Restarted: []string{"toy-a", "toy-b"}}},
	} {
		step.change()
		if difference := cmp.Diff(step.want, converge(t, d, s)); difference != "" {
			t.Errorf("%s:\n%s", step.name, difference)
		}
		healthy(t, d, s)
	}
	for _, name := range []string{"services/toy/runit/toy-c", "sv/toy-c", "log/toy-c", "services/toy/etc/secret.conf"} {
		if d.Exists(name) {
			t.Errorf("%s is still there", name)
		}
	}
}

// A new program is a restart that drains: TERM, and all the time that the process needs.
func TestBinaryUpdateDrainsFirst(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	s := toy(t, d, nil)
	path := program(t, d)
	s.Processes = []Process{{Name: "toy-a", Argv: []string{path},
		Env: []string{helperVariable + "=drain " + d.ServicePath("toy", "drained")}}}
	converge(t, d, s)
	healthy(t, d, s)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(place(t), "new")
	if err := os.WriteFile(source, append(data, 0), 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := LocateFile("helper", source)
	if err != nil {
		t.Fatal(err)
	}
	s.Binary, s.Processes[0].Argv = &b, []string{d.BinaryPath(b)}
	if d.BinaryPath(b) == path {
		t.Fatal("the new program is the old one")
	}
	if difference := cmp.Diff(Report{Restarted: []string{"toy-a"}}, converge(t, d, s)); difference != "" {
		t.Error(difference)
	}
	if !d.Exists("services/toy/drained") {
		t.Error("the old process was not given the time to drain")
	}
	healthy(t, d, s)
	if i := inspect(t, d, "toy"); i.Binary != b.SHA256 {
		t.Errorf("program %s, want %s", i.Binary, b.SHA256)
	}
}

func TestStubbornProcessIsKilled(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	s := toy(t, d, map[string]string{"toy-a": "stubborn"})
	const patience = 300 * time.Millisecond
	s.Processes[0].StopWait = patience
	converge(t, d, s)
	healthy(t, d, s)
	begin := time.Now()
	if err := d.Withdraw(t.Context(), "toy"); err != nil {
		t.Fatal(err)
	}
	if spent := time.Since(begin); spent < patience {
		t.Errorf("was killed after %s", spent)
	}
	expectNone(t, d, "toy-a")
}

func TestTakenPortIsSaidBeforeAnythingChanges(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	s := toy(t, d, map[string]string{"toy-a": "stay"})
	converge(t, d, s)
	before := find1(t, d, named("toy-a"))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	s.Processes[0].Listen = []string{listener.Addr().String()}
	s.Files[0].Content = []byte("a = 4\n")
	_, err = d.Converge(t.Context(), s)
	if !errors.Is(err, ErrPortTaken) || !strings.Contains(err.Error(), "toy-a cannot start") ||
		!strings.Contains(err.Error(), listener.Addr().String()) {
		t.Errorf("error %v", err)
	}
	if !before.exists() || inspect(t, d, "toy").Problem != "" {
		t.Error("something was changed")
	}
}

func TestWaitReadyGivesUpOnAProcessThatKeepsEnding(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ words, says string }{
		"at once":        {"no-such-word", "unknown word no-such-word"},
		"after a second": {"linger", "lingered"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDirectory(t)
			converge(t, d, toy(t, d, map[string]string{"toy-a": test.words}))
			err := d.WaitReady(t.Context(), "the toy", "toy-a", time.Minute, func(context.Context) error { return errors.New("refused") })
			if !errors.Is(err, ErrNotReady) || !strings.Contains(err.Error(), "ends again and again") ||
				!strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// A supervisor that held on to what it was started with would keep the other end of a pipe waiting for ever.
func TestServicesInheritNoDescriptor(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	inherited := inheritable(t)
	list := d.ServicePath("toy", "descriptors")
	s := toy(t, d, map[string]string{"toy-a": "fds " + list})
	converge(t, d, s)
	var said []byte
	eventually(t, "no list of descriptors", 5*time.Second, func() (err error) {
		said, err = os.ReadFile(list)
		return err
	})
	if bytes.Contains(said, []byte(inherited)) || bytes.Count(said, []byte("\n")) > 6 {
		t.Errorf("the service has:\n%s", said)
	}
	if !bytes.Contains(said, []byte("0 /dev/null")) {
		t.Errorf("its stdin is not /dev/null:\n%s", said)
	}
	supervisor := find1(t, d, func(p process) bool { return p.command == supervisor })
	if supervisor.parent == os.Getpid() || supervisor.session == find1(t, d, named("toy-a")).session {
		t.Errorf("the supervisor is not on its own: %+v", supervisor)
	}
}

func TestServicesSideBySide(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	var services []Service
	for _, name := range []string{"one", "two", "three", "four"} {
		s := toy(t, d, map[string]string{name + "-a": "stay", name + "-b": "stay"})
		s.Name = name
		services = append(services, s)
	}
	each := func(do func(s Service) error) {
		t.Helper()
		var group sync.WaitGroup
		for _, s := range services {
			group.Go(func() {
				if err := do(s); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}
	begin := time.Now()
	each(func(s Service) error {
		_, err := d.Converge(t.Context(), s)
		return err
	})
	t.Logf("up after %s", time.Since(begin))
	for _, s := range services {
		healthy(t, d, s)
	}
	if gone, err := d.Release(t.Context()); gone || err != nil {
		t.Errorf("released in use: %t, %v", gone, err)
	}
	begin = time.Now()
	each(func(s Service) error {
		if err := d.Withdraw(t.Context(), s.Name); err != nil {
			return err
		}
		_, err := d.Release(t.Context())
		return err
	})
	t.Logf("gone after %s", time.Since(begin))
	expectNobody(t, d)
	if _, err := os.Lstat(d.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if _, err := Open(d.Path(), "test"); !errors.Is(err, ErrAbsent) {
		t.Errorf("error %v", err)
	}
}

// A first apply puts all services of a stack in place side by side, while the supervisor is only just starting. Nobody may
// take a process that another one's call has brought up for a leftover.
func TestServicesSideBySideStartOnce(t *testing.T) {
	t.Parallel()
	for round := range 5 {
		t.Run(strconv.Itoa(round), func(t *testing.T) {
			t.Parallel()
			d := newDirectory(t)
			var services []Service
			var group sync.WaitGroup
			for number := range 6 {
				name := fmt.Sprintf("service-%d", number)
				words := map[string]string{}
				for _, process := range []string{name + "-a", name + "-b"} {
					words[process] = "note " + d.ServicePath(name, "data", process)
				}
				s := toy(t, d, words)
				s.Name = name
				services = append(services, s)
			}
			for _, s := range services {
				group.Go(func() {
					if _, err := d.Converge(t.Context(), s); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			for _, s := range services {
				healthy(t, d, s)
				for _, p := range s.Processes {
					notes, err := os.ReadFile(d.ServicePath(s.Name, "data", p.Name))
					if err != nil {
						t.Fatal(err)
					}
					if starts := bytes.Count(notes, []byte("\n")); starts != 1 {
						t.Errorf("process %s was started %d times", p.Name, starts)
					}
				}
			}
		})
	}
}

func TestStopAndStartAgain(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	s := toy(t, d, map[string]string{"toy-a": "stay"})
	converge(t, d, s)
	write(t, d.ServicePath("toy", "data/precious"), "x")
	if err := d.Stop(t.Context(), "toy"); err != nil {
		t.Fatal(err)
	}
	if i := inspect(t, d, "toy"); !i.Present || i.Problem != "process toy-a is down" {
		t.Errorf("%+v", i)
	}
	if report := converge(t, d, s); cmp.Diff(Report{Started: []string{"toy-a"}}, report) != "" {
		t.Errorf("%+v", report)
	}
	healthy(t, d, s)
	if !d.Exists("services/toy/data/precious") {
		t.Error("the data is gone")
	}
}
