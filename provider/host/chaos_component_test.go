//go:build component

package host

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestKilledServiceComesBackByItself(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	s := toy(t, d, map[string]string{"toy-a": "stay"})
	converge(t, d, s)
	old := find1(t, d, named("toy-a"))
	kill(t, old)
	eventually(t, "it does not come back", 5*time.Second, func() error {
		all, err := d.processes()
		if len(all.choose(named("toy-a"))) == 0 {
			return errors.Join(err, errors.New("nobody there"))
		}
		return err
	})
	healthy(t, d, s)
	if report := converge(t, d, s); report.Changed() {
		t.Errorf("%+v", report)
	}
}

// Nobody applies anything here: the next runsv's run script ends the orphan.
func TestKilledRunsvIsReplacedByItself(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	s := toy(t, d, map[string]string{"toy-a": "stay"})
	converge(t, d, s)
	orphan := find1(t, d, named("toy-a"))
	// While runsvdir stands still, nothing can have healed before we look.
	top := find1(t, d, func(p process) bool { return p.command == supervisor })
	if err := top.signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	kill(t, runsvOf(t, d, "toy", "toy-a"))
	if i := inspect(t, d, "toy"); !strings.Contains(i.Problem, "runs without its supervisor") {
		t.Errorf("problems %q", i.Problems)
	}
	if err := top.signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the orphan stays", 10*time.Second, func() error {
		if orphan.exists() {
			return errors.New("still there")
		}
		return nil
	})
	healthy(t, d, s)
}

func TestKilledRunsvIsRepairedByConverge(t *testing.T) {
	t.Parallel()
	for name, words := range map[string]string{"willing": "stay", "stubborn": "stubborn"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDirectory(t)
			s := toy(t, d, map[string]string{"toy-a": words})
			s.Processes[0].StopWait = 500 * time.Millisecond
			converge(t, d, s)
			orphan := find1(t, d, named("toy-a"))
			kill(t, runsvOf(t, d, "toy", "toy-a"))
			converge(t, d, s)
			if orphan.exists() {
				t.Error("the orphan is still there")
			}
			healthy(t, d, s)
		})
	}
}

// A runsv without its pipes runs its process for ever, and nobody can tell it anything.
func TestDeafRunsvIsRepairedByConverge(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	s := toy(t, d, map[string]string{"toy-a": "stay"})
	converge(t, d, s)
	if err := d.Remove(t.Context(), "services/toy/runit/toy-a/supervise"); err != nil {
		t.Fatal(err)
	}
	if difference := cmp.Diff(Report{Restarted: []string{"toy-a"}}, converge(t, d, s)); difference != "" {
		t.Error(difference)
	}
	healthy(t, d, s)
}

func TestKilledSupervisorIsRepairedByConverge(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	s := toy(t, d, map[string]string{"toy-a": "stay", "toy-b": "drain " + d.Path("services/toy/drained")})
	converge(t, d, s)
	healthy(t, d, s)
	kill(t, find1(t, d, func(p process) bool { return p.command == supervisor }))
	if i := inspect(t, d, "toy"); i.Problem != "the supervisor is down" {
		t.Errorf("problems %q", i.Problems)
	}
	if running, err := d.Supervised(); running || err != nil {
		t.Errorf("supervised: %t, %v", running, err)
	}
	if difference := cmp.Diff(Report{Restarted: []string{"toy-a", "toy-b"}}, converge(t, d, s)); difference != "" {
		t.Error(difference)
	}
	healthy(t, d, s)
	if !d.Exists("services/toy/drained") {
		t.Error("the process was not asked to end in good order")
	}
}

// A program may detach children on purpose. They are nobody's problem while it runs, and go with it.
func TestDetachedChildrenAreNoProblem(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	s := Service{Name: "toy", Processes: []Process{{Name: "toy-a",
		Argv: []string{"/bin/sh", "-c", "setsid --fork sleep 1000 </dev/null >/dev/null 2>&1; exec tail -f /dev/null"}}}}
	converge(t, d, s)
	child := func(p process) bool { return p.command == "sleep" }
	eventually(t, "no child", 10*time.Second, func() error {
		all, err := d.processes()
		if len(all.choose(child)) == 0 {
			return errors.Join(err, errors.New("nobody there"))
		}
		return err
	})
	if i := inspect(t, d, "toy"); i.Problem != "" {
		t.Errorf("problems %q", i.Problems)
	}
	if report := converge(t, d, s); report.Changed() {
		t.Errorf("%+v", report)
	}
	if err := d.Withdraw(t.Context(), "toy"); err != nil {
		t.Fatal(err)
	}
	expectNone(t, d, "toy-a")
}

// A drain may take longer than the apply may wait. What comes after it is the new one all the same.
func TestDrainOutlastsTheApply(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	s := toy(t, d, map[string]string{"toy-a": "drain " + d.Path("services/toy/drained")})
	s.Processes[0].StopWait = time.Hour
	converge(t, d, s)
	healthy(t, d, s)
	old := find1(t, d, named("toy-a"))
	s.Files[0].Content = []byte("a = 7\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	interrupted := make(chan error, 1)
	go func() {
		_, err := d.Converge(ctx, s)
		interrupted <- err
	}()
	eventually(t, "it is not asked to end", 10*time.Second, func() error {
		data, err := d.ReadFile("services/toy/runit/toy-a/supervise/status")
		if err != nil {
			return err
		}
		if status, err := parseStatus(data); err != nil || status.wantUp {
			return errors.Join(err, errors.New("still wanted"))
		}
		return nil
	})
	cancel()
	if err := <-interrupted; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	eventually(t, "the new one does not come", 10*time.Second, func() error {
		all, err := d.processes()
		if found := all.choose(named("toy-a")); len(found) != 1 || found[0].pid == old.pid {
			return errors.Join(err, errors.New("not there"))
		}
		return err
	})
	if report := converge(t, d, s); len(report.Restarted) > 0 {
		t.Errorf("once more restarted: %+v", report)
	}
	healthy(t, d, s)
	if !d.Exists("services/toy/drained") {
		t.Error("the old one did not drain")
	}
}

// As after a reboot, and worse: every process of the stack is killed at once.
func TestEverythingKilledIsRepairedByConverge(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	s := toy(t, d, map[string]string{"toy-a": "stay", "toy-b": "stay"})
	converge(t, d, s)
	if err := d.end(t.Context(), 0, func(snapshot, process) bool { return true }); err != nil {
		t.Fatal(err)
	}
	want := []string{"the supervisor is down", "process toy-a is down", "process toy-b is down"}
	if i := inspect(t, d, "toy"); cmp.Diff(want, i.Problems) != "" {
		t.Errorf("problems %q", i.Problems)
	}
	if difference := cmp.Diff(Report{Started: []string{"toy-a", "toy-b"}}, converge(t, d, s)); difference != "" {
		t.Error(difference)
	}
	healthy(t, d, s)
}

const rounds = 12

func TestInterruptedConverge(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	d := newDirectory(t)
	s := toy(t, d, map[string]string{"toy-a": "stay", "toy-b": "stay"})
	for round := range rounds {
		s.Files[0].Content = fmt.Appendf(nil, "a = %d\n", round)
		delay := time.Duration(random.IntN(60)) * time.Millisecond
		if round%3 == 2 {
			delay *= 20 // so as to hit the waiting for processes
		}
		ctx, cancel := context.WithTimeout(t.Context(), delay)
		_, err := d.Converge(ctx, s)
		cancel()
		if err == nil {
			t.Logf("round %d was done in %s", round, delay)
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("round %d, interrupted after %s: %v", round, delay, err)
		} else if i := inspect(t, d, "toy"); i.Problem == "" {
			// Then nothing had been begun, or all had been done.
			content, err := d.ReadFile("services/toy/etc/toy.conf")
			if report := converge(t, d, s); err != nil || report.Changed() && string(content) == string(s.Files[0].Content) {
				t.Errorf("round %d, interrupted after %s: no problem is seen, but %+v (%v)", round, delay, report, err)
			}
		}
		if round%2 == 1 {
			converge(t, d, s)
			healthy(t, d, s)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(60))*time.Millisecond)
	defer cancel()
	if err := d.Withdraw(ctx, "toy"); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("interrupted withdrawal: %v", err)
	}
	if err := d.Withdraw(t.Context(), "toy"); err != nil {
		t.Error(err)
	}
	if gone, err := d.Release(t.Context()); !gone || err != nil {
		t.Errorf("released: %t, %v", gone, err)
	}
	expectNobody(t, d)
}

// The whole process is killed in the middle, as a terminal that is closed does with a provider.
func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(place(t), "stack")
	t.Cleanup(func() {
		if err := Sweep(context.Background(), path); err != nil {
			t.Error(err)
		}
	})
	for round := range rounds {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), helperVariable+"=converge "+path+" "+fmt.Sprint(round/2))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		delay := time.Duration(random.IntN(150)) * time.Millisecond
		if err := sleep(t.Context(), delay); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		t.Logf("round %d: killed after %s: %v", round, delay, cmd.Wait())
		if round%4 != 3 {
			continue
		}
		d, s, err := stackOfHelper(t.Context(), path, fmt.Sprint(round/2))
		if err != nil {
			t.Fatal(err)
		}
		converge(t, d, s)
		healthy(t, d, s)
		if round == rounds/2+1 {
			leaveNobody(t, d)
		}
	}
	if err := Sweep(t.Context(), path); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}
