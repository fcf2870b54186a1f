package testbed

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLimitProcess: the kernel's limit is what is asked for, or a lower one that the machine has already.
func TestLimitProcess(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		asked       int
		there, want uint64
	}{
		"lowered":       {asked: 100, there: 2000, want: 100 + processesSlack},
		"a lower one":   {asked: 8192, there: 2000, want: 2000},
		"none is asked": {asked: 0, there: 2000, want: 2000},
		"the same":      {asked: 2000 - processesSlack, there: 2000, want: 2000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.Command("sleep", "60")
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = command.Process.Kill(); _ = command.Wait() }()
			pid := command.Process.Pid
			if err := unix.Prlimit(pid, unix.RLIMIT_NPROC, &unix.Rlimit{Cur: test.there, Max: test.there}, nil); err != nil {
				t.Fatal(err)
			}
			if err := limitProcess(pid, Limits{Processes: test.asked}); err != nil {
				t.Fatal(err)
			}
			var got unix.Rlimit
			if err := unix.Prlimit(pid, unix.RLIMIT_NPROC, nil, &got); err != nil || got.Cur != test.want || got.Max != test.want {
				t.Errorf("%+v, %v, want %d", got, err, test.want)
			}
		})
	}
}
