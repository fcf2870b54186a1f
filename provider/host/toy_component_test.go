//go:build component || machine

package host

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// toy is a service of helpers (see helper in helper_test.go). What a process does is given by its words.
func toy(t testing.TB, d *Directory, words map[string]string) Service {
	s := Service{Name: "toy", Format: 1, Data: []string{"data"},
		Files: []File{
			{Name: "etc/toy.conf", Content: []byte("a = 1\n"), Perm: 0o644},
			{Name: "etc/secret.conf", Content: []byte("password = x\n"), Secret: true},
		}}
	for name, words := range words {
		s.Processes = append(s.Processes, Process{Name: name, Argv: []string{program(t, d)},
			Env: []string{helperVariable + "=" + words}, StopWait: 5 * time.Second})
	}
	slices.SortFunc(s.Processes, func(a, b Process) int { return strings.Compare(a.Name, b.Name) })
	return s
}

func converge(t testing.TB, d *Directory, s Service) Report {
	t.Helper()
	report, err := d.Converge(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func inspect(t testing.TB, d *Directory, name string) Inspection {
	t.Helper()
	i, err := d.Inspect(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// healthy checks that a service is just as it should be: no problem, one process for each name, nobody else.
func healthy(t testing.TB, d *Directory, s Service) {
	t.Helper()
	eventually(t, "the service is not healthy", 10*time.Second, func() error {
		i, err := d.Inspect(t.Context(), s.Name)
		if err == nil && (!i.Present || i.Problem != "") {
			err = fmt.Errorf("present %t, problems %q", i.Present, i.Problems)
		}
		return err
	})
	all, err := d.processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Processes {
		if found := all.choose(func(q process) bool { return q.mark == p.Name }); len(found) != 1 {
			t.Errorf("processes %s: %+v", p.Name, found)
		}
	}
	if supervisors := all.supervisors(); !d.system && len(supervisors) != 1 {
		t.Errorf("supervisors: %+v", supervisors)
	}
}

// find1 finds the one process that the filter wants.
func find1(t testing.TB, d *Directory, want func(process) bool) process {
	t.Helper()
	all, err := d.processes()
	if err != nil {
		t.Fatal(err)
	}
	found := all.choose(want)
	if len(found) != 1 {
		t.Fatalf("want one process, found %+v", found)
	}
	return found[0]
}

func named(name string) func(process) bool { return func(p process) bool { return p.mark == name } }

func expectNone(t testing.TB, d *Directory, name string) {
	t.Helper()
	all, err := d.processes()
	if err != nil {
		t.Fatal(err)
	}
	if left := all.choose(named(name)); len(left) > 0 {
		t.Errorf("left: %+v", left)
	}
}

func runsvOf(t testing.TB, d *Directory, service, name string) process {
	t.Helper()
	root, err := d.open()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	all, err := d.processes()
	if err != nil {
		t.Fatal(err)
	}
	p, ok := d.supervised(root, service, name).runsv(all)
	if !ok {
		t.Fatalf("process %s has no runsv", name)
	}
	return p
}

// leaveNobody sweeps the stack and checks that nothing of it is left.
func leaveNobody(t testing.TB, d *Directory) {
	t.Helper()
	if err := Sweep(context.Background(), d.Path()); err != nil {
		t.Error(err)
	}
	expectNobody(t, d)
}

func kill(t testing.TB, p process) {
	t.Helper()
	if err := p.signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it does not die", 5*time.Second, func() error {
		if p.exists() {
			return fmt.Errorf("process %d (%s) is still there", p.pid, p.command)
		}
		return nil
	})
}
