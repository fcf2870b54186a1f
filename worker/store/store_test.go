package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// scripted answers listings from a list of pages.
type scripted struct {
	store.Store
	pages   []any // []string or error
	markers []string
}

func (s *scripted) List(_ context.Context, _ string, query store.Query) ([]store.Entry, error) {
	s.markers = append(s.markers, query.Marker)
	page := s.pages[0]
	if len(s.pages) > 1 {
		s.pages = s.pages[1:]
	}
	if err, failed := page.(error); failed {
		return nil, err
	}
	var entries []store.Entry
	for _, name := range page.([]string) {
		entries = append(entries, store.Entry{Name: name})
	}
	return entries, nil
}

func TestWalk(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		pages   []any
		marker  string
		names   []string
		err     error
		markers []string
	}{
		"empty":          {pages: []any{[]string{}}, markers: []string{""}},
		"pages":          {pages: []any{[]string{"a", "b"}, []string{"c"}, []string{}}, names: []string{"a", "b", "c"}, markers: []string{"", "b", "c"}},
		"from a marker":  {pages: []any{[]string{"c"}, []string{}}, marker: "b", names: []string{"c"}, markers: []string{"b", "c"}},
		"inside a run":   {pages: []any{[]string{"b@", "c@"}, []string{}}, marker: "b@/log", names: []string{"b@", "c@"}, markers: []string{"b@/log", "c@"}},
		"fails later":    {pages: []any{[]string{"a"}, store.ErrUnavailable}, names: []string{"a"}, err: store.ErrUnavailable, markers: []string{"", "a"}},
		"never advances": {pages: []any{[]string{"a"}}, names: []string{"a", "a"}, err: store.ErrUnavailable, markers: []string{"", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &scripted{pages: test.pages}
			var names []string
			var failure error
			for entry, err := range store.Walk(t.Context(), s, "container", "", "", test.marker) {
				if failure = err; err == nil {
					names = append(names, entry.Name)
				}
			}
			if !errors.Is(failure, test.err) {
				t.Errorf("error %v, want %v", failure, test.err)
			}
			if diff := cmp.Diff(test.names, names); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.markers, s.markers); diff != "" {
				t.Errorf("markers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWalkStopsWithTheLoop(t *testing.T) {
	t.Parallel()
	s := &scripted{pages: []any{[]string{"a", "b"}, errors.New("asked for more than was read")}}
	for _, err := range store.Walk(t.Context(), s, "container", "", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if len(s.markers) != 1 {
		t.Errorf("%d pages were fetched, want 1", len(s.markers))
	}
}
