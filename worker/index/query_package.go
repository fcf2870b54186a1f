package index

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// Test is a package on a release and architecture, with its newest runs.
type Test struct {
	Release      string
	Architecture string
	Package      string
	Latest       []Run // newest first, at least one
}

// Package lists the tests of a package, each with its newest runs, at most latest of them.
func (x *Index) Package(ctx context.Context, pkg string, latest int) ([]Test, error) {
	tests, err := collect(ctx, x.read, scanTest,
		"SELECT release, arch, package FROM test WHERE package = ? ORDER BY release, arch", pkg)
	if err != nil {
		return nil, err
	}
	for i := range tests {
		t := &tests[i]
		t.Latest, err = x.Runs(ctx, Filter{Release: t.Release, Architecture: t.Architecture, Package: pkg, Limit: latest})
		if err != nil {
			return nil, err
		}
	}
	return tests, nil
}

func scanTest(rows *sql.Rows) (Test, error) {
	var t Test
	err := rows.Scan(&t.Release, &t.Architecture, &t.Package)
	return t, err
}

// Packages lists names of packages that contain a text, in order, starting after a name: the next page.
func (x *Index) Packages(ctx context.Context, text, after string, limit int) ([]string, error) {
	return collect(ctx, x.read, scanString,
		"SELECT DISTINCT package FROM test WHERE package > ? AND instr(package, ?) > 0 ORDER BY package LIMIT ?",
		after, text, limit)
}

// Newest finds the newest run of each test of some packages, by package.
func (x *Index) Newest(ctx context.Context, packages []string) (map[string][]Run, error) {
	args := make([]any, len(packages))
	for i, name := range packages {
		args[i] = name
	}
	places := strings.TrimSuffix(strings.Repeat("?,", len(packages)), ",")
	newest := map[string][]Run{}
	runs := each(ctx, x.read, scanRun, distributionRuns+"WHERE t.package IN ("+places+
		") AND r.run_id = (SELECT max(run_id) FROM result WHERE test_id = t.id) ORDER BY t.release, t.arch", args...)
	for run, err := range runs {
		if err != nil {
			return nil, err
		}
		newest[run.Package] = append(newest[run.Package], run)
	}
	return newest, nil
}

// Neighbours are the runs of the same test just before and just after loc; nil where there is none.
func (x *Index) Neighbours(ctx context.Context, loc result.Location) (older, newer *Run, err error) {
	const sameTest = "WHERE t.package = ? AND t.release = ? AND t.arch = ? AND "
	find := func(rest string) (*Run, error) {
		run, err := one(collect(ctx, x.read, scanRun, distributionRuns+sameTest+rest,
			loc.Package, loc.Release, loc.Architecture, string(loc.RunID)))
		if errors.Is(err, ErrUnknown) {
			return nil, nil
		}
		return &run, err
	}
	if older, err = find("r.run_id < ? ORDER BY r.run_id DESC LIMIT 1"); err != nil {
		return nil, nil, err
	}
	newer, err = find("r.run_id > ? ORDER BY r.run_id LIMIT 1")
	return older, newer, err
}

// Streak tells about a test's newest run in the light of those before: since when it has been as it is.
type Streak struct {
	LastPass  *Run // the newest run that passed; nil when none ever did
	FirstFail *Run // the oldest run that did not pass after that; nil when the newest passed
}

// Streak looks back through the runs of a test.
func (x *Index) Streak(ctx context.Context, release, arch, pkg string) (Streak, error) {
	const sameTest = "WHERE t.package = ? AND t.release = ? AND t.arch = ? AND "
	const passed = "r.exitcode IN (0, 2, 8)" // neutral is no failure
	var streak Streak
	run, err := one(collect(ctx, x.read, scanRun, distributionRuns+sameTest+passed+" ORDER BY r.run_id DESC LIMIT 1",
		pkg, release, arch))
	switch {
	case err == nil:
		streak.LastPass = &run
	case !errors.Is(err, ErrUnknown):
		return Streak{}, err
	}
	next, err := one(collect(ctx, x.read, scanRun, distributionRuns+sameTest+"r.run_id > ? ORDER BY r.run_id LIMIT 1",
		pkg, release, arch, string(run.RunID)))
	switch {
	case err == nil:
		streak.FirstFail = &next
	case !errors.Is(err, ErrUnknown):
		return Streak{}, err
	}
	return streak, nil
}

// Counts are numbers of runs by what became of them.
type Counts map[result.Class]int

// CountSince counts the runs of the distribution's containers that were published since a time.
func (x *Index) CountSince(ctx context.Context, since time.Time) (Counts, error) {
	type line struct{ exit, runs int }
	lines, err := collect(ctx, x.read, func(rows *sql.Rows) (line, error) {
		var l line
		err := rows.Scan(&l.exit, &l.runs)
		return l, err
	}, "SELECT exitcode, count(*) FROM result WHERE run_id >= ? GROUP BY exitcode", since.UTC().Format("20060102_150405"))
	if err != nil {
		return nil, err
	}
	counts := Counts{}
	for _, l := range lines {
		counts[result.Classify(l.exit)] += l.runs
	}
	return counts, nil
}
