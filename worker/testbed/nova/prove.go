package nova

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Supplies says whether a region has all that a server is made of besides its image.
func Supplies(ctx context.Context, region *openstack.Region, of config.NovaTestbed) (failed error) {
	trySupplies(ctx, region, of, func(_ string, look func() error) { failed = errors.Join(failed, look()) })
	return failed
}

// Boots has a region make a server as testbeds have, and waits until it is ACTIVE; then the server is removed. Nobody logs in to it. An
// image that the cloud does not boot is a testbed.ErrCanary; any other error says that the region could not make a server now. What a call
// that was killed has left goes with the next one for a testbed of the same name.
func Boots(ctx context.Context, region *openstack.Region, of config.NovaTestbed, t testbed.Testbed) error {
	if err := Unboot(ctx, region, t.Name); err != nil {
		return err
	}
	err := bootOnce(ctx, region, Plan{
		Testbed: t.Name, Server: serverName(t), Tags: tagsOf(t), Image: of.Image, Flavor: of.Flavor, Network: of.Network, Groups: of.Groups,
		KeyName: of.KeyName,
	})
	if errors.Is(err, openstack.ErrBroken) || errors.Is(err, openstack.ErrInvalid) {
		return fmt.Errorf("%w: %w", testbed.ErrCanary, err)
	}
	return err
}

// Unboot removes what a call of Boots for a testbed of that name has left.
func Unboot(ctx context.Context, region *openstack.Region, name string) error {
	return remove(ctx, region, record{}, name, "")
}

// removeLimit bounds the removal of what a trial has made.
const removeLimit = 30 * time.Second

// bootOnce makes the server of a plan, up to the point where Nova has done its part, and removes it.
func bootOnce(ctx context.Context, region *openstack.Region, plan Plan) (err error) {
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeLimit)
		defer cancel()
		if left := remove(ending, region, record{}, plan.Testbed, ""); left != nil {
			err = errors.Join(err, fmt.Errorf("remove the server of a trial: %w", left))
		}
	}()
	s := Setup{Plan: plan, Region: region}
	id, err := s.boot(ctx)
	if err != nil {
		return err
	}
	_, err = s.active(ctx, id)
	return err
}
