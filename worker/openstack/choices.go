package openstack

import (
	"context"
	"fmt"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/external"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/pagination"
)

// Flavor finds a flavor by name or id. Without one it is ErrNotFound, and the error says what there is.
func (r *Region) Flavor(ctx context.Context, name string) (flavors.Flavor, error) {
	find, err := r.Flavors(ctx)
	if err != nil {
		return flavors.Flavor{}, err
	}
	return find(name)
}

// Flavors lists the flavors once, and returns what Flavor does for any name.
func (r *Region) Flavors(ctx context.Context) (find func(name string) (flavors.Flavor, error), err error) {
	all, err := List(ctx, r, Compute, func(client *gophercloud.ServiceClient) pagination.Pager {
		return flavors.ListDetail(client, flavors.ListOpts{AccessType: flavors.AllAccess})
	}, flavors.ExtractFlavors)
	if err != nil {
		return nil, err
	}
	return func(name string) (flavors.Flavor, error) { return r.flavorOf(all, name) }, nil
}

func (r *Region) flavorOf(all []flavors.Flavor, name string) (flavors.Flavor, error) {
	var names []string
	for _, flavor := range all {
		if flavor.Name == name || flavor.ID == name {
			return flavor, nil
		}
		names = append(names, flavor.Name)
	}
	return flavors.Flavor{}, r.NewError(ErrNotFound, Compute, fmt.Sprintf("there is no flavor %q", name), "take one of "+someOf(names))
}

// A Net is a network as a project sees it.
type Net struct {
	networks.Network
	external.NetworkExternalExt
}

// Networks are those that the project sees, its own, shared and external ones.
func (r *Region) Networks(ctx context.Context) ([]Net, error) {
	return List(ctx, r, Network, func(client *gophercloud.ServiceClient) pagination.Pager {
		return networks.List(client, nil)
	}, func(page pagination.Page) (all []Net, err error) {
		err = networks.ExtractNetworksInto(page, &all)
		return all, err
	})
}

// InternalNetwork finds the network for a server: by name or id, or, if name is empty, the only one that is not external.
func (r *Region) InternalNetwork(ctx context.Context, name string) (Net, error) {
	find, err := r.InternalNetworks(ctx)
	if err != nil {
		return Net{}, err
	}
	return find(name)
}

// InternalNetworks lists the networks once, and returns what InternalNetwork does for any name.
func (r *Region) InternalNetworks(ctx context.Context) (find func(name string) (Net, error), err error) {
	all, err := r.Networks(ctx)
	if err != nil {
		return nil, err
	}
	return func(name string) (Net, error) { return r.networkOf(all, name, false) }, nil
}

// ExternalNetwork finds the pool for floating addresses in the same way. Two of them, and no name, are an error that names them.
func (r *Region) ExternalNetwork(ctx context.Context, name string) (Net, error) {
	all, err := r.Networks(ctx)
	if err != nil {
		return Net{}, err
	}
	return r.networkOf(all, name, true)
}

func (r *Region) networkOf(all []Net, name string, outside bool) (Net, error) {
	kind := map[bool]string{true: "external network", false: "network"}[outside]
	var found []Net
	var names []string
	for _, n := range all {
		if n.External != outside {
			continue
		}
		names = append(names, n.Name)
		if name == "" || n.Name == name || n.ID == name {
			found = append(found, n)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1 && name == "":
		return Net{}, r.NewError(ErrConflict, Network,
			fmt.Sprintf("there are several of kind %s: %s", kind, someOf(names)), "name one of them")
	case len(found) > 1:
		return Net{}, r.NewError(ErrConflict, Network,
			fmt.Sprintf("two are named %q: %s and %s", name, found[0].ID, found[1].ID), "name it by its id")
	case len(names) == 0:
		return Net{}, r.NewError(ErrNotFound, Network, "the project sees no "+kind, "make one, or ask the cloud's operators to share one")
	}
	return Net{}, r.NewError(ErrNotFound, Network, fmt.Sprintf("there is no %s %q", kind, name), "take one of "+someOf(names))
}
