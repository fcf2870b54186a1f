package store

import (
	"context"
	"fmt"
	"iter"
)

// Walk goes through a listing page by page, in order. It ends after the first error, which it gives with an empty entry.
func Walk(ctx context.Context, s Store, container, prefix, delimiter, marker string) iter.Seq2[Entry, error] {
	return walk(ctx, s, container, Query{Prefix: prefix, Delimiter: delimiter, Marker: marker})
}

// WalkPages is Walk with pages of a size of the caller's choice.
func WalkPages(ctx context.Context, s Store, container string, query Query) iter.Seq2[Entry, error] {
	return walk(ctx, s, container, query)
}

func walk(ctx context.Context, s Store, container string, query Query) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		query := query // each iteration starts at the beginning
		for {
			entries, err := s.List(ctx, container, query)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if len(entries) == 0 {
				return
			}
			for _, entry := range entries {
				if !yield(entry, nil) {
					return
				}
			}
			last := entries[len(entries)-1].Name
			if last <= query.Marker {
				// A store that ignores the marker would keep us here for ever.
				yield(Entry{}, fmt.Errorf("list %s: %w: the page after %q ends with %q", container, ErrUnavailable, query.Marker, last))
				return
			}
			query.Marker = last
		}
	}
}
