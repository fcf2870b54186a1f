package nova

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// Try looks in each region for the images, the flavors and the networks of testbeds, and for the keys on this machine.
func (b backend) Try(ctx context.Context, given [][]string) error {
	by := map[string][]config.NovaTestbed{}
	var failed []error
	for _, words := range given {
		of, err := config.ParseNovaTestbed(words)
		if err != nil {
			return fmt.Errorf("[nova] in worker.conf: %w", err)
		}
		if _, err := readKeys(of.KeyFile); err != nil && len(failed) == 0 {
			failed = append(failed, err)
		}
		for _, source := range sources(of) {
			by[source] = append(by[source], of)
		}
	}
	var trying sync.WaitGroup
	var mu sync.Mutex
	for source, all := range by {
		trying.Go(func() {
			problems := b.tryRegion(ctx, source, all)
			mu.Lock()
			defer mu.Unlock()
			failed = append(failed, problems...)
		})
	}
	trying.Wait()
	return errors.Join(failed...)
}

// tryRegion names each thing that is missing once.
func (b backend) tryRegion(ctx context.Context, source string, all []config.NovaTestbed) (failed []error) {
	region, err := b.regions.open(source)
	if err != nil {
		return []error{err}
	}
	if _, err := region.ComputeLeft(ctx); err != nil {
		return []error{err} // nor will anything else be answered
	}
	var tried []string
	try := func(what string, look func() error) {
		if slices.Contains(tried, what) {
			return
		}
		tried = append(tried, what)
		if err := look(); err != nil {
			failed = append(failed, err)
		}
	}
	for _, of := range all {
		try("image "+of.Image, func() error { _, err := region.NewestImage(ctx, of.Image); return err })
		trySupplies(ctx, region, of, try)
	}
	return failed
}

// trySupplies looks for what a server is made of besides its image.
func trySupplies(ctx context.Context, region *openstack.Region, of config.NovaTestbed, try func(what string, look func() error)) {
	try("flavor "+of.Flavor, func() error { _, err := region.Flavor(ctx, of.Flavor); return err })
	try("network "+of.Network, func() error { _, err := region.InternalNetwork(ctx, of.Network); return err })
	if of.FloatingIP {
		try("pool "+of.Pool, func() error { _, err := pool(ctx, region, of.Pool); return err })
	}
	if of.KeyName != "" {
		try("key "+of.KeyName, func() error { return hasKeyPair(ctx, region, of.KeyName) })
	}
}

func hasKeyPair(ctx context.Context, region *openstack.Region, name string) error {
	_, err := region.KeyPair(ctx, name)
	if errors.Is(err, openstack.ErrNotFound) {
		return region.NewError(openstack.ErrNotFound, openstack.Compute, fmt.Sprintf("the user has no key pair %q", name),
			"make it, or leave --keyname out: cloud-init is then given the key itself")
	}
	return err
}
