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
