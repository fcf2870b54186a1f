package openstack

import (
	"context"
	"math"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/limits"
)

// Left is what a project may still use of a region's compute service; what has no limit is Unlimited. RAM is in MiB.
type Left struct{ Instances, Cores, RAM int }

// Unlimited is more than any project has.
const Unlimited = math.MaxInt32

// ComputeLeft reads the project's quota, and what of it is used. Servers count from the moment that they are asked for until they are
// gone.
func (r *Region) ComputeLeft(ctx context.Context) (left Left, err error) {
	err = r.Do(ctx, Compute, func(client *gophercloud.ServiceClient) error {
		answer, err := limits.Get(ctx, client, nil).Extract()
		if err != nil {
			return err
		}
		a := answer.Absolute
		left = Left{
			Instances: rest(a.MaxTotalInstances, a.TotalInstancesUsed), Cores: rest(a.MaxTotalCores, a.TotalCoresUsed),
			RAM: rest(a.MaxTotalRAMSize, a.TotalRAMUsed),
		}
		return nil
	})
	return left, err
}

// rest is zero when the quota was lowered below what is used.
func rest(limit, used int) int {
	if limit < 0 {
		return Unlimited
	}
	return max(limit-used, 0)
}

// Fits is how many servers of a flavor there is room for.
func (l Left) Fits(f flavors.Flavor) int {
	most := l.Instances
	for _, of := range [][2]int{{l.Cores, f.VCPUs}, {l.RAM, f.RAM}} {
		if left, each := of[0], of[1]; each > 0 && left != Unlimited {
			most = min(most, left/each)
		}
	}
	return most
}

// Without is what is left after some more servers of a flavor.
func (l Left) Without(count int, f flavors.Flavor) Left {
	less := func(left, by int) int {
		if left == Unlimited {
			return left
		}
		return max(left-by, 0)
	}
	return Left{Instances: less(l.Instances, count), Cores: less(l.Cores, count*f.VCPUs), RAM: less(l.RAM, count*f.RAM)}
}
