package main

import (
	"context"
	"slices"

	"github.com/gophercloud/gophercloud/v2/pagination"
)

// everything lists all of a kind.
func everything[T any](ctx context.Context, pager pagination.Pager, extract func(pagination.Page) ([]T, error)) ([]T, error) {
	page, err := pager.AllPages(ctx)
	if err != nil {
		return nil, err
	}
	empty, err := page.IsEmpty()
	if err != nil || empty {
		return nil, err
	}
	return extract(page)
}

// absent says that the list has none that is wanted.
func absent[T any](list []T, wanted func(T) bool) bool { return !slices.ContainsFunc(list, wanted) }
