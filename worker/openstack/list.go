package openstack

import (
	"context"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/pagination"
)

// List asks a service of a region for all things of a kind, with gophercloud's own functions for its pages.
func List[T any](ctx context.Context, r *Region, of Service, pages func(*gophercloud.ServiceClient) pagination.Pager,
	extract func(pagination.Page) ([]T, error)) (all []T, err error) {
	err = r.Do(ctx, of, func(client *gophercloud.ServiceClient) error {
		page, err := pages(client).AllPages(ctx)
		if err != nil {
			return err
		}
		all, err = extract(page)
		return err
	})
	return all, err
}
