package openstack

import (
	"context"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/pagination"
)

// KeyPair is one of Nova's key pairs: of the user, not of the project, and in one region.
type KeyPair = keypairs.KeyPair

// KeyPairs are all of the user's.
func (r *Region) KeyPairs(ctx context.Context) ([]KeyPair, error) {
	return List(ctx, r, Compute, func(client *gophercloud.ServiceClient) pagination.Pager {
		return keypairs.List(client, nil)
	}, keypairs.ExtractKeyPairs)
}

// KeyPair is the one of a name; ErrNotFound if the user has none.
func (r *Region) KeyPair(ctx context.Context, name string) (there *KeyPair, err error) {
	err = r.Do(ctx, Compute, func(client *gophercloud.ServiceClient) error {
		found, err := keypairs.Get(ctx, client, name, nil).Extract()
		if err == nil {
			there = found
		}
		return err
	})
	return there, err
}
