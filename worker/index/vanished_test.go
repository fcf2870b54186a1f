package index

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// remove takes a run out of the store, as a worker does that has stored it anew above another one.
func remove(t *testing.T, s store.Store, loc result.Location) {
	t.Helper()
	if err := s.Delete(t.Context(), loc.Container, loc.Object(result.TarObject)); err != nil {
		t.Fatal(err)
	}
}

// grown is an index with some packages' runs: two runs of green and blue each, one of red, one of a PPA.
func grown(t *testing.T) (*Index, *watched, *Lister, []result.Location) {
	t.Helper()
	x, s := newIndex(t), newStore(t, "noble")
	const ppa = "autopkgtest-noble-joe-foo"
	if err := s.CreateContainer(t.Context(), ppa, true); err != nil {
		t.Fatal(err)
	}
	inPPA := []result.Location{at("noble", "amd64", "green", 1), at("noble", "amd64", "green", 2)}
	for i := range inPPA {
		inPPA[i].Container = ppa
	}
	all := append([]result.Location{
		at("noble", "amd64", "blue", 1), at("noble", "amd64", "blue", 2), at("noble", "amd64", "green", 1), at("noble", "amd64", "green", 2),
		at("noble", "amd64", "red", 1),
	}, inPPA...)
	for _, loc := range all {
		r := passed(loc)
		r.Request = fmt.Appendf(nil, "%s\n{\"id\": \"request of %s\"}", loc.Package, loc.RunID)
		putResult(t, s, loc, r)
	}
	l := NewLister(x, s, []string{"noble"}, quiet)
	if got := pass(t, l); got.Added != len(all) {
		t.Fatalf("first pass: %+v", got)
	}
	return x, s, l, all
}

// listings is a store whose listings are what a test makes of them.
type listings struct {
	store.Store
	change func(container string, q store.Query, entries []store.Entry) ([]store.Entry, error)
}

func (l listings) List(ctx context.Context, container string, q store.Query) ([]store.Entry, error) {
	entries, err := l.Store.List(ctx, container, q)
	if err != nil {
		return nil, err
	}
	return l.change(container, q, entries)
}

// What is gone from the store goes from the index, once two passes have missed it, and the index equals one that is built anew.
func TestVanishedRowsGo(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string][]int{
		"the lower of two":       {0},
		"the greater of two":     {3},
		"both of a package":      {2, 3},
		"the only one":           {4},
		"the first and the last": {0, 1, 4},
		"in a PPA":               {5},
		"several":                {0, 2, 4, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, s, l, all := grown(t)
			for _, i := range gone {
				remove(t, s, all[i])
			}
			before := dump(t, x)
			if got := pass(t, l); got.Removed != 0 || !cmp.Equal(before, dump(t, x)) {
				t.Errorf("the first pass without them removed %d rows", got.Removed)
			}
			if got := pass(t, l); got.Removed != len(gone) {
				t.Errorf("the second pass without them removed %d rows, want %d", got.Removed, len(gone))
			}
			for i, loc := range all {
				_, err := x.Run(t.Context(), loc)
				if want := slices.Contains(gone, i); errors.Is(err, ErrUnknown) != want {
					t.Errorf("%s/%s: %v, gone: %t", loc.Container, loc.Dir(), err, want)
				}
			}
			if got := pass(t, l); got.Removed != 0 || got.Added != 0 {
				t.Errorf("nothing is left to do: %+v", got)
			}
			fresh := newIndex(t)
			pass(t, NewLister(fresh, s, []string{"noble"}, quiet))
			// Containers with PPAs are known to those alone who have had a result from there.
			if diff := cmp.Diff(distributionRows(dump(t, fresh)), distributionRows(dump(t, x))); diff != "" {
				t.Errorf("built anew and grown (-anew +grown):\n%s", diff)
			}
		})
	}
}

// distributionRows leaves out what is in containers with PPAs.
func distributionRows(lines []string) (own []string) {
	for _, line := range lines {
		if strings.HasPrefix(line, "result ") {
			own = append(own, line)
		}
	}
	return own
}

// Nothing goes because a listing was cut short, failed, was late or empty, nor because the store did not answer.
func TestRowsStayWhenTheListingIsNotToBeTrusted(t *testing.T) {
	t.Parallel()
	away := fmt.Errorf("list: %w", store.ErrUnavailable)
	for name, change := range map[string]func(container string, q store.Query, entries []store.Entry) ([]store.Entry, error){
		"it fails at once": func(string, store.Query, []store.Entry) ([]store.Entry, error) { return nil, away },
		"it fails after the first page": func(_ string, q store.Query, entries []store.Entry) ([]store.Entry, error) {
			if q.Marker != "" {
				return nil, away
			}
			return entries[:min(1, len(entries))], nil
		},
		"it is empty": func(string, store.Query, []store.Entry) ([]store.Entry, error) { return nil, nil },
		"it is denied": func(string, store.Query, []store.Entry) ([]store.Entry, error) {
			return nil, fmt.Errorf("list: %w", store.ErrDenied)
		},
		"the container is not found": func(string, store.Query, []store.Entry) ([]store.Entry, error) {
			return nil, fmt.Errorf("list: %w", store.ErrNotFound)
		},
		// The store says that this is all, and it is not: the results themselves are still there.
		"it is cut short": func(_ string, _ store.Query, entries []store.Entry) ([]store.Entry, error) {
			return entries[:min(1, len(entries))], nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, s, l, all := grown(t)
			before := dump(t, x)
			if name != "it is cut short" { // all that is known of those is that nothing is known
				remove(t, s, all[1])
			}
			l.Store = listings{s, func(container string, q store.Query, entries []store.Entry) ([]store.Entry, error) {
				if name == "it is cut short" && q.Marker != "" {
					return nil, nil
				}
				return change(container, q, entries)
			}}
			for range 4 {
				_, _ = l.Pass(t.Context())
			}
			if diff := cmp.Diff(before, dump(t, x)); diff != "" {
				t.Errorf("the index (-before +after):\n%s", diff)
			}
		})
	}
}

// A store with an empty container in place of a full one has lost everything, or is not the right one: what the index has is all
// that people can still see.
func TestRowsStayWhenEverythingIsGone(t *testing.T) {
	t.Parallel()
	x, s, l, all := grown(t)
	before := dump(t, x)
	for _, loc := range all {
		remove(t, s, loc)
	}
	for range 3 {
		if got := pass(t, l); got != (Report{}) {
			t.Errorf("a pass: %+v", got)
		}
	}
	if diff := cmp.Diff(before, dump(t, x)); diff != "" {
		t.Errorf("the index (-before +after):\n%s", diff)
	}
}

// A result that is gone from the listing and that the store does not tell about is kept for as long as that lasts.
func TestRowsStayWhenTheStoreDoesNotSayThatTheResultIsGone(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]error{"away": store.ErrUnavailable, "denied": store.ErrDenied} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, s, l, all := grown(t)
			remove(t, s, all[0])
			s.fail = func(string, string) error { return answer }
			for range 3 {
				_, _ = l.Pass(t.Context())
			}
			if _, err := x.Run(t.Context(), all[0]); err != nil {
				t.Errorf("removed although the store did not say that it is gone: %v", err)
			}
			s.fail = nil
			pass(t, l)
			if got := pass(t, l); got.Removed != 1 {
				t.Errorf("when the store answers, %d are removed, want 1", got.Removed)
			}
		})
	}
}

// What is missing in one pass and there in the next is as before: two passes in a row have to miss it.
func TestARowThatComesBackStays(t *testing.T) {
	t.Parallel()
	x, s, l, all := grown(t)
	for range 3 {
		remove(t, s, all[0])
		if got := pass(t, l); got.Removed != 0 {
			t.Errorf("missed once, and removed")
		}
		putResult(t, s, all[0], passed(all[0]))
		if got := pass(t, l); got.Removed != 0 || got.Added != 0 {
			t.Errorf("there again: %+v", got)
		}
	}
	if _, err := x.Run(t.Context(), all[0]); err != nil {
		t.Error(err)
	}
}

// Many at once go over several passes: each costs a question to the store.
func TestManyVanishedRows(t *testing.T) {
	t.Parallel()
	x, s, l, all := grown(t)
	l.MostVanished = 2
	for _, loc := range all[:4] {
		remove(t, s, loc)
	}
	removed := 0
	for range 6 {
		got := pass(t, l)
		if got.Removed > 2 {
			t.Errorf("%d removed in one pass, want two at the most", got.Removed)
		}
		removed += got.Removed
	}
	if removed != 4 {
		t.Errorf("%d removed in all, want 4:\n%v", removed, dump(t, x))
	}
}

// A folder without a result.tar that was given up is forgotten with its folder.
func TestVanishedProblemsGo(t *testing.T) {
	t.Parallel()
	x, s, l, all := grown(t)
	unfinished := at("noble", "amd64", "green", 3)
	putObject(t, s, unfinished, result.LogObject, []byte("x"))
	pass(t, l)
	if problems, err := x.Problems(t.Context(), 10); err != nil || len(problems) != 1 {
		t.Fatalf("problems: %v, %v", problems, err)
	}
	if err := s.Delete(t.Context(), unfinished.Container, unfinished.Object(result.LogObject)); err != nil {
		t.Fatal(err)
	}
	pass(t, l)
	pass(t, l)
	if problems, err := x.Problems(t.Context(), 10); err != nil || len(problems) != 0 {
		t.Errorf("problems that are left: %v, %v", problems, err)
	}
	if _, err := x.Run(t.Context(), all[3]); err != nil {
		t.Error(err)
	}
}
