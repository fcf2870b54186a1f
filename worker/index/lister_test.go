package index

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

func pass(t *testing.T, l *Lister) Report {
	t.Helper()
	report, err := l.Pass(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestPassFindsWhatMessagesDidNotTell(t *testing.T) {
	t.Parallel()
	x, s := newIndex(t), newStore(t, "noble", "trixie")
	l := NewLister(x, s, []string{"noble", "trixie", "soon"}, quiet) // the container of soon does not exist
	first := at("noble", "amd64", "green", 1)
	putResult(t, s, first, passed(first))
	if got := pass(t, l); got != (Report{Listed: 1, Added: 1}) {
		t.Errorf("first pass: %+v", got)
	}
	for _, loc := range []result.Location{
		at("noble", "amd64", "green", 2), at("noble", "arm64", "libblue", 2), at("trixie", "amd64", "green", 2),
	} {
		putResult(t, s, loc, passed(loc))
	}
	// What is not a run's folder is passed over.
	odd := first
	odd.RunID = "not-a-run"
	putObject(t, s, odd, result.TarObject, []byte("x"))
	elsewhere := strings.Replace(first.Object(result.TarObject), "/g/green/", "/x/green/", 1)
	body := strings.NewReader("x")
	if err := s.Put(t.Context(), first.Container, elsewhere, body, body.Size(), store.Properties{}); err != nil {
		t.Fatal(err)
	}
	if got := pass(t, l); got != (Report{Listed: 4, Added: 3}) {
		t.Errorf("second pass: %+v", got)
	}
	if got := pass(t, l); got != (Report{Listed: 4}) {
		t.Errorf("third pass: %+v", got)
	}
	if fetched := s.fetched(); fetched != 4 {
		t.Errorf("%d results were fetched, want each of 4 once", fetched)
	}
	if state := l.State(); state.Passes != 3 || state.Err != nil || state.Running {
		t.Errorf("state: %+v", state)
	}
}

// The index that is rebuilt from the store equals the one that grew with the messages.
func TestRebuildGivesTheSameIndex(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := newStore(t, "noble", "trixie")
	ppa := "autopkgtest-noble-joe-foo"
	if err := s.CreateContainer(t.Context(), ppa, true); err != nil {
		t.Fatal(err)
	}
	var locations []result.Location
	for i := range 60 {
		loc := at([]string{"noble", "trixie"}[i%2], []string{"amd64", "arm64", "s390x"}[i%3], fmt.Sprintf("lib%d+x", i%7), i)
		if i%10 == 0 {
			loc.Release, loc.Container = "noble", ppa
		}
		res := passed(loc)
		res.ExitCode = []int{0, 2, 4, 8, 16}[i%5]
		res.Request = fmt.Appendf(nil, "%s\n{\"triggers\": [\"a/1\"], \"request-id\": \"id-%d\"}", loc.Package, i)
		if i%20 == 7 {
			putObject(t, s, loc, result.TarObject, []byte("this is no tar"))
		} else {
			putResult(t, s, loc, res)
		}
		locations = append(locations, loc)
	}
	grown := openIndex(t, filepath.Join(folder, "grown.db"))
	slices.Reverse(locations) // messages come in any order
	for _, loc := range locations {
		if _, err := grown.Ingest(t.Context(), s, loc); err != nil && !errors.Is(err, result.ErrDamaged) {
			t.Fatal(err)
		}
	}
	rebuilt := openIndex(t, filepath.Join(folder, "rebuilt.db"))
	report := pass(t, NewLister(rebuilt, s, []string{"noble", "trixie"}, quiet))
	if report.Added != 57 || report.Problems != 3 {
		t.Errorf("rebuilt: %+v", report)
	}
	want, got := dump(t, grown), dump(t, rebuilt)
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" || len(got) != 57+57+3 {
		t.Errorf("%d lines: %s", len(got), diff)
	}
}

func TestProblemsAreNotRetriedForEver(t *testing.T) {
	t.Parallel()
	x, s := newIndex(t), newStore(t, "noble")
	clock := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	x.now = func() time.Time { return clock }
	l := NewLister(x, s, []string{"noble"}, quiet)
	damaged, absent, good := at("noble", "amd64", "green", 1), at("noble", "amd64", "green", 2), at("noble", "amd64", "green", 3)
	putObject(t, s, damaged, result.TarObject, []byte("this is no tar"))
	putObject(t, s, absent, result.LogObject, []byte("the upload of result.tar is still to come"))
	putResult(t, s, good, passed(good))

	// A hint for a damaged result counts as an attempt, too.
	if _, err := x.Ingest(t.Context(), s, damaged); !errors.Is(err, result.ErrDamaged) {
		t.Fatal(err)
	}
	if got := pass(t, l); got != (Report{Listed: 3, Added: 1, Problems: 1}) {
		t.Errorf("first pass: %+v", got)
	}
	if got := pass(t, l); got != (Report{Listed: 3}) {
		t.Errorf("a pass soon after: %+v", got)
	}
	for range 100 { // many days
		clock = clock.Add(25 * time.Hour)
		pass(t, l)
	}
	for _, loc := range []result.Location{damaged, absent} {
		if times := s.gets[loc.Object(result.TarObject)]; times != len(pauses)+1 {
			t.Errorf("%s was fetched %d times, want %d", loc.Dir(), times, len(pauses)+1)
		}
	}

	// A message brings in what has been given up.
	putResult(t, s, absent, passed(absent))
	if added, err := x.Ingest(t.Context(), s, absent); !added || err != nil {
		t.Errorf("added = %v, err = %v", added, err)
	}
	problems, err := x.Problems(t.Context(), 10)
	if err != nil || len(problems) != 1 || problems[0].Location != damaged {
		t.Errorf("problems: %+v, %v", problems, err)
	}
}

// A pass that the store broke off is finished by the next one, which fetches nothing twice.
func TestPassResumes(t *testing.T) {
	t.Parallel()
	x, s := newIndex(t), newStore(t, "noble")
	const runs = 200
	for i := range runs {
		loc := at("noble", "amd64", fmt.Sprintf("p%d", i%13), i)
		putResult(t, s, loc, passed(loc))
	}
	var served atomic.Int64
	s.fail = func(string, string) error {
		if served.Add(1) > runs/2 {
			return store.ErrUnavailable
		}
		return nil
	}
	l := NewLister(x, s, []string{"noble"}, quiet)
	report, err := l.Pass(t.Context())
	added := report.Added // what was under way when the store failed may be lost
	if !errors.Is(err, store.ErrUnavailable) || added == 0 || added > runs/2 {
		t.Errorf("broken pass: %+v, %v", report, err)
	}
	if state := l.State(); state.Passes != 0 || !errors.Is(state.Err, store.ErrUnavailable) {
		t.Errorf("state: %+v", state)
	}
	s.fail = nil
	if got := pass(t, l); got != (Report{Listed: runs, Added: runs - added}) {
		t.Errorf("resumed pass: %+v", got)
	}
	if lines := dump(t, x); len(lines) != runs {
		t.Errorf("%d rows, want %d; the store's failure was taken for the results'", len(lines), runs)
	}
}

func TestFetchesAtOnce(t *testing.T) {
	t.Parallel()
	const runs, parallel = 12, 3
	s := newStore(t, "noble")
	for i := range runs {
		loc := at("noble", "amd64", "green", i)
		putResult(t, s, loc, passed(loc))
	}
	path := filepath.Join(t.TempDir(), "autopkgtest.db")
	synctest.Test(t, func(t *testing.T) {
		x, err := Open(t.Context(), path, quiet)
		if err != nil {
			t.Fatal(err)
		}
		arrived, leave := make(chan struct{}, runs), make(chan struct{})
		s.fail = func(string, string) error {
			arrived <- struct{}{}
			<-leave
			return nil
		}
		l := NewLister(x, s, []string{"noble"}, quiet)
		l.Parallel = parallel
		done := make(chan error, 1)
		go func() {
			_, err := l.Pass(t.Context())
			done <- err
		}()
		synctest.Wait() // until nothing moves any more
		if atOnce := len(arrived); atOnce != parallel {
			t.Errorf("%d fetches at once, want %d", atOnce, parallel)
		}
		close(leave)
		if err := errors.Join(<-done, x.Close()); err != nil {
			t.Error(err)
		}
	})
}

func TestRunListsAgainAndStops(t *testing.T) {
	t.Parallel()
	x, s := newIndex(t), newStore(t, "noble")
	l := NewLister(x, s, []string{"noble"}, quiet)
	l.Every = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(ctx)
	}()
	for passes := range 3 {
		for l.State().Passes <= passes {
			if t.Context().Err() != nil {
				t.Fatal("no pass")
			}
			l.Poke()
			runtime.Gosched()
		}
	}
	cancel()
	<-done
}

func TestReleaseOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"autopkgtest-noble": "noble", "autopkgtest-noble-joe-foo": "noble", "autopkgtest-sid": "sid",
		"autopkgtest-noblex": "", "private-autopkgtest-noble": "", "autopkgtest-": "", "db-backups": "", "autopkgtest-jammy": "",
	} {
		if got, ok := ReleaseOf(name, []string{"noble", "sid"}); got != want || ok != (want != "") {
			t.Errorf("ReleaseOf(%q) = %q, %v; want %q", name, got, ok, want)
		}
	}
}

func TestReasonIsBounded(t *testing.T) {
	t.Parallel()
	if text := reason(errors.New(strings.Repeat("x", 10000))); len(text) > 1000 {
		t.Errorf("%d bytes are kept", len(text))
	}
}
