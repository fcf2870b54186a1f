//go:build component

package unshare_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

// greedy runs a test with limits.
func greedy(t *testing.T, limits testbed.Limits, script string) (testbed.Job, testbed.Outcome, error) {
	t.Helper()
	depends := ""
	if strings.Contains(script, "mount") {
		depends = "mount"
	}
	job := newJob(t, testbedtest.SourceTree(t, "Tests: greedy\nDepends: "+depends+"\nRestrictions: needs-root, allow-stderr\n", map[string]string{"greedy": script}))
	job.Limits, job.Timeout = limits, 5*time.Minute
	outcome, err := newRunner(t).Run(t.Context(), job)
	checkNothingLeft(t, job)
	return job, outcome, err
}

// TestLimits lets tests take too much in ways that are hard to see; the suite has the plain ones.
func TestLimits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		limits testbed.Limits
		script string
		want   string
	}{
		"memory of many": {
			testbed.Limits{Memory: 256 << 20}, "#!/usr/bin/perl\nfor (1..8) { fork or do { my $x = 'x' x 50_000_000; sleep 100000 } }; sleep 100000;\n",
			"memory limit of 256 MiB",
		},
		"files in memory": {
			testbed.Limits{Memory: 256 << 20}, "#!/bin/sh\nmount -t tmpfs -o size=1g tmpfs /mnt && dd if=/dev/zero of=/mnt/x bs=1M count=400; sleep 100000\n",
			"memory limit of 256 MiB",
		},
		"nameless file": {
			testbed.Limits{Disk: 900 << 20}, "#!/bin/sh\nexec 3>/var/tmp/x; rm /var/tmp/x; dd if=/dev/urandom bs=1M count=1000 >&3; sleep 100000\n",
			"disk limit of 900 MiB",
		},
		"nameless empty files": {
			// The tree of the testbed alone stays below the limit.
			testbed.Limits{Files: 30_000}, `#!/usr/bin/perl
for my $n (1..35) { fork or do { my @f; for (1..900) { open my $f, '>', "/var/tmp/x$n"; unlink "/var/tmp/x$n"; push @f, $f } sleep 100000 } }
sleep 100000;
`,
			"files limit of 30000",
		},
		"fork bomb": {
			testbed.Limits{Processes: 300}, "#!/usr/bin/perl\n$SIG{TERM} = 'IGNORE'; while (1) { fork; }\n", "processes limit of 300",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job, outcome, err := greedy(t, test.limits, test.script)
			log := readLog(t, job)
			if err != nil || outcome.Exceeded != test.want || outcome.ExitCode != 137 || outcome.Duration == 0 {
				t.Fatalf("%+v, %v\n%s", outcome, err, log)
			}
			lines := strings.Split(strings.TrimSpace(log), "\n")
			if last := lines[len(lines)-1]; !strings.HasSuffix(last, "the run was ended: it went beyond its "+test.want) {
				t.Errorf("the log ends with %q", last)
			}
		})
	}
}

// TestWithinLimits is a test that shares its memory, writes a sparse file and has a few processes.
func TestWithinLimits(t *testing.T) {
	t.Parallel()
	job, outcome, err := greedy(t, testbed.Limits{Memory: 400 << 20, Disk: 1 << 30, Files: 100_000, Processes: 200, Log: 1 << 20}, `#!/usr/bin/perl
my $x = 'x' x 100_000_000;
open my $f, '>', '/var/tmp/sparse'; truncate $f, 1 << 40;
for (1..10) { fork or do { sleep 5; print length $x; exit 0 } }
1 while wait > 0;
`)
	if err != nil || outcome.ExitCode != 0 || outcome.Exceeded != "" {
		t.Errorf("%+v, %v\n%s", outcome, err, readLog(t, job))
	}
}

// TestLogLimit prints more than anybody wants to read.
func TestLogLimit(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	job, outcome, err := greedy(t, testbed.Limits{Log: limit}, "#!/bin/sh\necho THE BEGINNING; seq 3000000; echo THE END\n")
	if err != nil || outcome.ExitCode != 0 {
		t.Fatalf("%+v, %v", outcome, err)
	}
	for _, name := range []string{"log", "greedy-stdout"} {
		file, err := os.Open(filepath.Join(job.OutputDir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if taken := info.Sys().(*syscall.Stat_t).Blocks * 512; info.Size() < 20<<20 || taken > limit+256<<10 {
			t.Errorf("%s: %d bytes, %d on disk", name, info.Size(), taken)
		}
		excerpt, err := testbed.NewExcerpt(file, info.Size(), limit)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(excerpt)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"THE BEGINNING", "bytes were left out here: the log grew beyond its limit of 1 MiB", "THE END"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s: no %q in %d bytes", name, want, len(text))
			}
		}
	}
}
