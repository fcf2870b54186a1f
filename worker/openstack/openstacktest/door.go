package openstacktest

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// OpenDoor makes a security group that lets ssh in, for the time of the test.
func OpenDoor(t testing.TB, region *openstack.Region, name string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	network := func(call func(*gophercloud.ServiceClient) error) {
		t.Helper()
		if err := region.Do(ctx, openstack.Network, call); err != nil {
			t.Error(err)
		}
	}
	network(func(client *gophercloud.ServiceClient) error {
		group, err := groups.Create(ctx, client, groups.CreateOpts{Name: name}).Extract()
		if err != nil {
			return err
		}
		t.Cleanup(func() {
			network(func(client *gophercloud.ServiceClient) error {
				for begin := time.Now(); ; time.Sleep(time.Second) {
					err := groups.Delete(ctx, client, group.ID).ExtractErr()
					inUse := gophercloud.ResponseCodeIs(err, http.StatusConflict) // by a machine that was told to go
					if !inUse || time.Since(begin) > goneLimit {
						return err
					}
				}
			})
		})
		_, err = rules.Create(ctx, client, rules.CreateOpts{
			SecGroupID: group.ID, Direction: rules.DirIngress, EtherType: rules.EtherType4, Protocol: rules.ProtocolTCP,
			PortRangeMin: 22, PortRangeMax: 22,
		}).Extract()
		return err
	})
}
