//go:build component

package host

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDriftIsSeenAndRepaired(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	s := toy(t, d, map[string]string{"toy-a": "stay"})
	s.Binary = &Binary{Name: "tool", Source: "/bin/true"}
	b, err := LocateFile("tool", "/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	s.Binary = &b
	s.Makes = []string{"etc/ring"}
	s.Prepare = func(context.Context) error {
		_, err := d.WriteFile("services/toy/etc/ring", []byte("made"), 0o644)
		return err
	}
	converge(t, d, s)
	scribble := func(name, text string) error { return os.WriteFile(d.ServicePath("toy", name), []byte(text), 0) }
	service := func(name string) string { return d.ServicePath("toy", name) }
	for _, test := range []struct {
		says  string
		spoil func() error
		lost  bool
	}{
		{"file etc/toy.conf was changed by hand", func() error { return scribble("etc/toy.conf", "a = 3\n") }, false},
		{"file etc/toy.conf is gone", func() error { return os.Remove(service("etc/toy.conf")) }, false},
		{"file etc/secret.conf has the mode 0644 instead of 0600", func() error { return os.Chmod(service("etc/secret.conf"), 0o644) }, false},
		{"file etc/secret.conf was changed by hand", func() error { return scribble("etc/secret.conf", "password = z\n") }, false},
		{"file runit/toy-a/run was changed by hand", func() error { return scribble("runit/toy-a/run", "#!/bin/sh\n") }, false},
		{"file etc/ring is gone", func() error { return os.Remove(service("etc/ring")) }, false},
		{"is gone or damaged", func() error { return os.Remove(d.BinaryPath(b)) }, false},
		{"data is gone", func() error { return os.Rename(service("data"), service("data.gone")) }, true},
		{"the link sv/toy-a is not as it was", func() error { return os.Remove(d.Path("sv/toy-a")) }, false},
		{"it was never finished", func() error { return os.Remove(service("service.json")) }, false},
		{"cannot be read", func() error { return scribble("service.json", "{") }, false},
		{"is gone", func() error { return d.Remove(t.Context(), "services/toy") }, false},
	} {
		t.Run(test.says, func(t *testing.T) {
			if err := test.spoil(); err != nil {
				t.Fatal(err)
			}
			i := inspect(t, d, "toy")
			said := strings.ReplaceAll(strings.Join(i.Problems, "\n"), "the data in "+service("data"), "data")
			if !strings.Contains(said, test.says) || (len(i.Lost) > 0) != test.lost {
				t.Errorf("problems %q, lost %q", i.Problems, i.Lost)
			}
			converge(t, d, s)
			healthy(t, d, s)
		})
	}
}

func TestFailedPreparationIsTriedAgain(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	s := toy(t, d, map[string]string{"toy-a": "stay"})
	failure := errors.New("no ring today")
	s.Makes, s.Prepare = []string{"etc/ring"}, func(context.Context) error { return failure }
	if _, err := d.Converge(t.Context(), s); !errors.Is(err, failure) {
		t.Errorf("error %v", err)
	}
	if i := inspect(t, d, "toy"); i.Present || i.Problem != "it was never finished" {
		t.Errorf("%+v", i)
	}
	s.Prepare = func(context.Context) error { return nil }
	if _, err := d.Converge(t.Context(), s); err == nil || !strings.Contains(err.Error(), "did not make") {
		t.Errorf("error %v", err)
	}
	content := []byte("one")
	s.Prepare = func(context.Context) error {
		_, err := d.WriteFile("services/toy/etc/ring", content, 0o644)
		return err
	}
	converge(t, d, s)
	healthy(t, d, s)
	content = []byte("two")
	if report := converge(t, d, s); len(report.Restarted) != 1 {
		t.Errorf("another ring: %+v", report)
	}
}

// A process that happens to be restarted while files change may see some of both, so its run script says for as long
// that whatever it starts has to be started once more.
func TestRunScriptsAreUnfinishedWhileFilesChange(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	s := toy(t, d, map[string]string{"toy-a": "stay", "toy-b": "stay"})
	s.Processes[1].Reads = []string{}
	seen := map[string]bool{}
	s.Prepare = func(context.Context) error {
		for _, p := range s.Processes {
			data, err := d.ReadFile("services/toy/runit/" + p.Name + "/run")
			if err == nil {
				seen[p.Name] = scriptInputs(string(data)) == unfinished
			}
		}
		return nil
	}
	converge(t, d, s)
	s.Files[0].Content = []byte("a = 5\n")
	converge(t, d, s)
	if difference := cmp.Diff(map[string]bool{"toy-a": true, "toy-b": false}, seen); difference != "" {
		t.Error(difference)
	}
	interrupted := errors.New("interrupted")
	s.Files[0].Content = []byte("a = 6\n")
	s.Prepare = func(context.Context) error {
		kill(t, find1(t, d, named("toy-a"))) // and runit starts it again, with the new file under the old script
		eventually(t, "it does not come back", 5*time.Second, func() error {
			all, err := d.processes()
			if len(all.choose(named("toy-a"))) == 0 {
				return errors.Join(err, errors.New("nobody there"))
			}
			return err
		})
		return interrupted
	}
	if _, err := d.Converge(t.Context(), s); !errors.Is(err, interrupted) {
		t.Fatalf("error %v", err)
	}
	if i := inspect(t, d, "toy"); !strings.Contains(strings.Join(i.Problems, "\n"), "a change that was interrupted") {
		t.Errorf("problems %q", i.Problems)
	}
	s.Prepare = nil
	if difference := cmp.Diff(Report{Restarted: []string{"toy-a"}}, converge(t, d, s)); difference != "" {
		t.Error(difference)
	}
	healthy(t, d, s)
}
