package index

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// fill writes rows without a store: tests of queries, and benchmarks, need many.
func fill(t testing.TB, x *Index, runs ...Run) {
	t.Helper()
	for _, run := range runs {
		if run.Version == "" {
			run.Version = "1"
		}
		if _, err := x.insert(context.Background(), run, ""); err != nil {
			t.Fatal(err)
		}
	}
}

func exits(loc func(n int) result.Location, codes ...int) []Run {
	var runs []Run
	for i, code := range codes {
		runs = append(runs, Run{Location: loc(i), ExitCode: code})
	}
	return runs
}

func seconds(runs []Run) []int {
	var list []int
	for _, run := range runs {
		t, _ := run.RunID.Time()
		list = append(list, t.Second()+60*t.Minute())
	}
	return list
}

func TestRunsPageByPage(t *testing.T) {
	t.Parallel()
	x := newIndex(t)
	green := func(n int) result.Location { return at("noble", "amd64", "green", n) }
	fill(t, x, exits(green, make([]int, 7)...)...)
	fill(t, x, exits(func(n int) result.Location { return at("noble", "arm64", "green", 100+n) }, 0, 4)...)
	fill(t, x, exits(func(n int) result.Location { return at("trixie", "amd64", "blue", 200+n) }, 0)...)
	for name, test := range map[string]struct {
		filter Filter
		want   []int
	}{
		"all, newest first": {Filter{Limit: 4}, []int{200, 101, 100, 6}},
		"first page":        {Filter{Release: "noble", Architecture: "amd64", Package: "green", Limit: 3}, []int{6, 5, 4}},
		"second page": {Filter{Release: "noble", Architecture: "amd64", Package: "green", Limit: 3, Before: green(4).RunID},
			[]int{3, 2, 1}},
		"last page": {Filter{Release: "noble", Architecture: "amd64", Package: "green", Limit: 3, Before: green(1).RunID},
			[]int{0}},
		"a release":       {Filter{Release: "trixie", Limit: 9}, []int{200}},
		"an architecture": {Filter{Architecture: "arm64", Limit: 9}, []int{101, 100}},
		"nothing":         {Filter{Package: "red", Limit: 9}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runs, err := x.Runs(t.Context(), test.filter)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, seconds(runs)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStreak(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		codes          []int
		passed, failed int // seconds; -1: none
	}{
		"nothing":            {nil, -1, -1},
		"always passed":      {[]int{0, 2, 0}, 2, -1},
		"never passed":       {[]int{4, 4}, -1, 0},
		"broke":              {[]int{0, 0, 4, 16, 4}, 1, 2},
		"was broken before":  {[]int{0, 4, 0, 4}, 2, 3},
		"mended":             {[]int{4, 4, 8}, 2, -1},
		"once, then nothing": {[]int{16}, -1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newIndex(t)
			fill(t, x, exits(func(n int) result.Location { return at("noble", "amd64", "green", n) }, test.codes...)...)
			fill(t, x, exits(func(n int) result.Location { return at("noble", "arm64", "green", 50+n) }, 0, 4)...) // another test
			streak, err := x.Streak(t.Context(), "noble", "amd64", "green")
			if err != nil {
				t.Fatal(err)
			}
			second := func(run *Run) int {
				if run == nil {
					return -1
				}
				return seconds([]Run{*run})[0]
			}
			if got := [2]int{second(streak.LastPass), second(streak.FirstFail)}; got != [2]int{test.passed, test.failed} {
				t.Errorf("got %v, want %v", got, [2]int{test.passed, test.failed})
			}
		})
	}
}

func TestPackageQueries(t *testing.T) {
	t.Parallel()
	x := newIndex(t)
	for _, pkg := range []string{"gzip", "libzip", "zip", "bash"} {
		fill(t, x, exits(func(n int) result.Location { return at("noble", "amd64", pkg, n) }, 0, 4, 16)...)
		fill(t, x, exits(func(n int) result.Location { return at("noble", "arm64", pkg, 10+n) }, 4, 0)...)
	}
	names, err := x.Packages(t.Context(), "zip", "gzip", 5)
	if diff := cmp.Diff([]string{"libzip", "zip"}, names); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if all, err := x.Packages(t.Context(), "", "", 2); len(all) != 2 || all[0] != "bash" || err != nil {
		t.Error(all, err)
	}
	tests, err := x.Package(t.Context(), "gzip", 2)
	if err != nil || len(tests) != 2 {
		t.Fatal(tests, err)
	}
	if diff := cmp.Diff([][]int{{2, 1}, {11, 10}}, [][]int{seconds(tests[0].Latest), seconds(tests[1].Latest)}); diff != "" {
		t.Error(diff)
	}
	newest, err := x.Newest(t.Context(), []string{"gzip", "zip", "unknown"})
	if err != nil || len(newest) != 2 {
		t.Fatal(newest, err)
	}
	if diff := cmp.Diff([]int{2, 11}, seconds(newest["zip"])); diff != "" {
		t.Error(diff)
	}
	older, newer, err := x.Neighbours(t.Context(), at("noble", "amd64", "gzip", 1))
	if err != nil || older == nil || newer == nil || !cmp.Equal(seconds([]Run{*older, *newer}), []int{0, 2}) {
		t.Error(older, newer, err)
	}
	older, newer, err = x.Neighbours(t.Context(), at("noble", "arm64", "gzip", 11))
	if err != nil || older == nil || newer != nil {
		t.Error(older, newer, err)
	}
	counts, err := x.CountSince(t.Context(), time.Date(2026, 11, 20, 0, 0, 2, 0, time.UTC))
	if diff := cmp.Diff(Counts{result.Tmpfail: 4, result.Fail: 4, result.Pass: 4}, counts); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestByRequest(t *testing.T) {
	t.Parallel()
	x := newIndex(t)
	for i, arch := range []string{"amd64", "arm64"} {
		if _, err := x.insert(t.Context(), Run{Location: at("noble", arch, "green", i), Version: "1"}, "mine"); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		id     string
		filter Filter
		want   []int
	}{
		"both":            {"mine", Filter{Limit: 5}, []int{1, 0}},
		"limited":         {"mine", Filter{Limit: 1}, []int{1}},
		"an architecture": {"mine", Filter{Limit: 1, Architecture: "amd64"}, []int{0}},
		"another package": {"mine", Filter{Limit: 5, Package: "blue"}, nil},
		"unknown":         {"yours", Filter{Limit: 5}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runs, err := x.ByRequest(t.Context(), test.id, test.filter)
			if diff := cmp.Diff(test.want, seconds(runs)); diff != "" || err != nil {
				t.Error(diff, err)
			}
		})
	}
}

// big is an index like a busy site's: 25,000 runs of 1,250 packages.
func big(b *testing.B) *Index {
	x := newIndex(b)
	tx, err := x.write.BeginTx(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 25000 {
		loc := at("noble", []string{"amd64", "arm64"}[i%2], fmt.Sprintf("package%04d", i/2%1250), i)
		_, err := tx.ExecContext(b.Context(), "INSERT OR IGNORE INTO test(release, arch, package) VALUES (?, ?, ?)",
			loc.Release, loc.Architecture, loc.Package)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := insertResult(b.Context(), tx, Run{Location: loc, Version: "1", ExitCode: i % 3 * 4}); err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	return x
}

func BenchmarkQueries(b *testing.B) {
	x := big(b)
	for name, query := range map[string]func() error{
		"recent":              func() error { _, err := x.Runs(b.Context(), Filter{Limit: 20}); return err },
		"recent of a release": func() error { _, err := x.Runs(b.Context(), Filter{Release: "noble", Limit: 20}); return err },
		"history": func() error {
			_, err := x.Runs(b.Context(), Filter{Release: "noble", Architecture: "amd64", Package: "package0500", Limit: 50})
			return err
		},
		"matrix": func() error { _, err := x.Package(b.Context(), "package0500", 10); return err },
		"search": func() error { _, err := x.Packages(b.Context(), "age05", "", 100); return err },
		"counting": func() error {
			_, err := x.CountSince(b.Context(), time.Date(2026, 11, 19, 0, 0, 0, 0, time.UTC))
			return err
		},
		"streak": func() error { _, err := x.Streak(b.Context(), "noble", "amd64", "package0500"); return err },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := query(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRebuild is an index of 2,000 results built by listing a store that is a folder.
func BenchmarkRebuild(b *testing.B) {
	const runs = 2000
	s := newStore(b, "noble")
	for i := range runs {
		loc := at("noble", "amd64", fmt.Sprintf("package%03d", i%200), i)
		putResult(b, s, loc, passed(loc))
	}
	for b.Loop() {
		x := newIndex(b)
		if _, err := NewLister(x, s, []string{"noble"}, quiet).Pass(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(runs*b.N)/b.Elapsed().Seconds(), "results/s")
}
