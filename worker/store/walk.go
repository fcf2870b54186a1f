package store

import (
	"context"
	"fmt"
	"iter"
)

// Walk goes through a listing page by page, in order, with the meaning of Query. It ends after the first error, which it
// gives with an empty entry.
func Walk(ctx context.Context, s Store, container, prefix, delimiter, marker string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		query := Query{Prefix: prefix, Delimiter: delimiter, Marker: marker}
		for pages := 0; ; pages++ {
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
			// A store that ignores the marker would keep us here for ever. The caller's own marker may lie inside a
			// subdirectory, which is then listed although its name is smaller.
			if pages > 0 && last <= query.Marker {
				yield(Entry{}, fmt.Errorf("list %s: %w: the page after %q ends with %q", container, ErrUnavailable, query.Marker, last))
				return
			}
			query.Marker = last
		}
	}
}
