package testbedtest

import (
	"strings"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// usual are limits that no run of the suite comes near: a run within its limits is left alone.
var usual = testbed.Limits{Disk: 4 << 30, Files: 200_000, Log: 16 << 20, Memory: 4 << 30, Processes: 2000}

// testLimits lets tests take too much. What they take is bounded: the machine has to bear it in a backend that has no limit.
func (s Subject) testLimits(t *testing.T) {
	for name, test := range map[string]struct {
		limits testbed.Limits
		script string
		want   string
	}{
		"memory": {
			testbed.Limits{Memory: 400 << 20}, "perl -e 'my $x = \"x\" x 600_000_000; sleep 100000'", "memory limit of 400 MiB",
		},
		"disk": {
			testbed.Limits{Disk: 1536 << 20}, "fallocate -l 1600M large; sleep 100000", "disk limit of 1536 MiB",
		},
		"files": {
			testbed.Limits{Files: 30_000}, "seq 32000 | xargs touch; sleep 100000", "files limit of 30000",
		},
		"processes": {
			testbed.Limits{Processes: 300}, "perl -e 'for (1..400) { fork or sleep 100000 } sleep 100000'", "processes limit of 300",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script := "#!/bin/sh\ncd \"$AUTOPKGTEST_TMP\"\n" + test.script + "\n"
			job := s.job(t, SourceTree(t, "Tests: greedy\nDepends:\nRestrictions: allow-stderr\n", map[string]string{"greedy": script}))
			job.Limits = test.limits
			outcome, err := s.runner(t).Run(t.Context(), job)
			log := readLog(t, job)
			if err != nil || outcome.Exceeded != test.want || outcome.TimedOut {
				t.Fatalf("outcome %+v, error %v, want the run ended by its %s\n%s", outcome, err, test.want, log)
			}
			if !strings.HasSuffix(strings.TrimSpace(log), "the run was ended: it went beyond its "+test.want) {
				t.Errorf("the log does not say why it ends:\n%s", log)
			}
			checkOnlyOutput(t, job)
		})
	}
}
