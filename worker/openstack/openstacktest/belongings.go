package openstacktest

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// goneLimit is for machines that were told to go, which need some seconds.
const goneLimit = 2 * time.Minute

// KeepsBelongings fails the test if, soon after its end, a project has other things in the regions than now. It is called before anything
// is made, by a test that is alone in the project.
func KeepsBelongings(t testing.TB, regions ...*openstack.Region) {
	t.Helper()
	before := belongings(t, regions)
	t.Cleanup(func() { // the first of all clean-ups is the last to run
		for begin := time.Now(); ; time.Sleep(time.Second) {
			diff := cmp.Diff(before, belongings(t, regions))
			if diff == "" {
				return
			}
			if time.Since(begin) > goneLimit {
				t.Errorf("what the project had before and has now (-before +now):\n%s", diff)
				return
			}
		}
	})
}

// belongings are what a project has in regions of what servers are made of, sorted.
func belongings(t testing.TB, regions []*openstack.Region) (all []string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for _, region := range regions {
		add := func(kind, id string) { all = append(all, path.Join(region.Name(), kind, id)) }
		servers, failed := region.ServersTagged(ctx)
		for _, server := range servers {
			add("server", server.ID)
		}
		addresses, err := region.FloatingIPs(ctx)
		failed = errors.Join(failed, err)
		for _, address := range addresses {
			add("floating IP", address.FloatingIP)
		}
		failed = errors.Join(failed, region.Do(ctx, openstack.Compute, func(client *gophercloud.ServiceClient) error {
			pages, err := keypairs.List(client, nil).AllPages(ctx)
			if err != nil {
				return err
			}
			found, err := keypairs.ExtractKeyPairs(pages)
			for _, pair := range found {
				add("key pair", pair.Name)
			}
			return err
		}), region.Do(ctx, openstack.Network, func(client *gophercloud.ServiceClient) error {
			pages, err := ports.List(client, ports.ListOpts{ProjectID: openstack.ProjectOf(client)}).AllPages(ctx)
			if err != nil {
				return err
			}
			found, err := ports.ExtractPorts(pages)
			for _, port := range found {
				if strings.HasPrefix(port.DeviceOwner, "compute:") { // others are Neutron's own
					add("port", port.ID)
				}
			}
			return err
		}), region.Do(ctx, openstack.Network, func(client *gophercloud.ServiceClient) error {
			pages, err := groups.List(client, groups.ListOpts{ProjectID: openstack.ProjectOf(client)}).AllPages(ctx)
			if err != nil {
				return err
			}
			found, err := groups.ExtractGroups(pages)
			for _, group := range found {
				add("security group", group.Name)
			}
			return err
		}))
		if failed != nil {
			t.Fatal(failed)
		}
	}
	slices.Sort(all)
	return all
}
