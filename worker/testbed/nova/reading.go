package nova

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// readLimit bounds a reading.
const readLimit = 30 * time.Second

// reading is what was read of a region.
type reading struct {
	name    string // for people
	left    openstack.Left
	flavors map[string]flavors.Flavor // by what the configuration calls them
	missing map[string]error          // likewise

	// What was found of the rest is in here; the set-up script looks for what is not, and tells what is wrong with it.
	images   map[string]string // ids, by pattern
	networks map[string]string // ids, by what the configuration calls them
}

// wish is what a testbed is made of, as the configuration calls it.
type wish struct{ flavor, image, network string }

func wishOf(of config.NovaTestbed) wish { return wish{of.Flavor, of.Image, of.Network} }

// choice is what a wish is in the region, as far as that was found.
func (l reading) choice(of wish) Choice {
	return Choice{Image: l.images[of.image], Flavor: l.flavors[of.flavor].ID, Network: l.networks[of.network]}
}

func (r *regions) readRegion(ctx context.Context, source string, wanted []wish) (reading, error) {
	got := reading{name: sourceName(source)}
	at, err := r.open(source)
	if err != nil {
		return got, err
	}
	got.name = cmp.Or(at.Name(), got.name)
	var looking sync.WaitGroup
	looking.Go(func() { got.images = findImages(ctx, at, wanted) })
	looking.Go(func() { got.networks = findNetworks(ctx, at, wanted) })
	got.left, err = at.ComputeLeft(ctx)
	if err == nil {
		got.flavors, got.missing, err = findFlavors(ctx, at, wanted)
	}
	looking.Wait()
	return got, err
}

// findFlavors tells of each that is wanted what it is, or that it is missing.
func findFlavors(ctx context.Context, at *openstack.Region, wanted []wish) (map[string]flavors.Flavor, map[string]error, error) {
	find, err := at.Flavors(ctx)
	if err != nil {
		return nil, nil, err
	}
	found, missing := map[string]flavors.Flavor{}, map[string]error{}
	for _, name := range namesOf(wanted, func(w wish) string { return w.flavor }) {
		if size, err := find(name); err == nil {
			found[name] = size
		} else {
			missing[name] = err
		}
	}
	return found, missing, nil
}

// findImages finds the ids of those that are there.
func findImages(ctx context.Context, at *openstack.Region, wanted []wish) map[string]string {
	newest, err := at.NewestImages(ctx)
	if err != nil {
		return nil
	}
	found := map[string]string{}
	for _, pattern := range namesOf(wanted, func(w wish) string { return w.image }) {
		if image, err := newest(pattern); err == nil {
			found[pattern] = image.ID
		}
	}
	return found
}

// findNetworks finds the ids of those that are there.
func findNetworks(ctx context.Context, at *openstack.Region, wanted []wish) map[string]string {
	find, err := at.InternalNetworks(ctx)
	if err != nil {
		return nil
	}
	found := map[string]string{}
	for _, name := range namesOf(wanted, func(w wish) string { return w.network }) {
		if network, err := find(name); err == nil {
			found[name] = network.ID
		}
	}
	return found
}

// namesOf are the different ones.
func namesOf(wanted []wish, name func(wish) string) []string {
	var all []string
	for _, one := range wanted {
		all = append(all, name(one))
	}
	slices.Sort(all)
	return slices.Compact(all)
}
