package openstack

import (
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
)

func TestFits(t *testing.T) {
	t.Parallel()
	small := flavors.Flavor{VCPUs: 1, RAM: 2048}
	for name, test := range map[string]struct {
		left Left
		want int
	}{
		"instances":    {Left{3, 10, 20480}, 3},
		"cores":        {Left{10, 2, 20480}, 2},
		"memory":       {Left{10, 10, 4095}, 1},
		"nothing":      {Left{0, 10, 20480}, 0},
		"no limits":    {Left{Unlimited, Unlimited, Unlimited}, Unlimited},
		"one limit":    {Left{Unlimited, 7, Unlimited}, 7},
		"over a quota": {Left{rest(10, 12), 10, 20480}, 0},
		"three taken":  {Left{10, 4, 20480}.Without(3, small), 1},
		"all taken":    {Left{10, 4, 20480}.Without(5, small), 0},
		"of no limit":  {Left{Unlimited, Unlimited, 4096}.Without(1, small), 1},
	} {
		if got := test.left.Fits(small); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
	if got := (Left{5, 0, 0}).Fits(flavors.Flavor{}); got != 5 {
		t.Errorf("a flavor of nothing: %d", got)
	}
	if rest(-1, 5) != Unlimited {
		t.Error("-1 is not without limit")
	}
}
