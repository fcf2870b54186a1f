//go:build openstack && guests

package cloudimage

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/nova"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

// TestDiskIsProven: Nova boots a disk that was built here, from its own boot loader, the canary package's tests pass on the server, and
// only then the image is shown.
func TestDiskIsProven(t *testing.T) {
	const group = "canaries"
	queue := testbedtest.ThisMachine(t)
	rc := openstacktest.RCFile(t, openstacktest.Scalingstack, openstacktest.Lcy01)
	region, err := nova.OpenRegion(new(openstack.Sessions), rc)
	if err != nil {
		t.Fatal(err)
	}
	openstacktest.KeepsBelongings(t, region)
	openstacktest.OpenDoor(t, region, group)
	k, err := newKeeper(config.Image{
		Release: queue.Release, Architecture: queue.Architecture, Directory: t.TempDir(),
		Cloud: &config.CloudImage{
			Name: "test/" + strings.ToLower(rand.Text()), Canary: config.CanaryTests,
			Nova: config.Nova{
				RCFiles: []string{rc}, KeyFile: openstacktest.PrivateKey(t), Flavor: openstacktest.GuestFlavor,
				Options: openstacktest.GuestOptions(group),
			},
		},
	}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	shown := func() []openstack.Published {
		t.Helper()
		shelf, err := k.publication(region).Look(context.WithoutCancel(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		return shelf.Published
	}
	t.Cleanup(func() {
		if err := Withdraw(context.WithoutCancel(t.Context()), k.cfg, k.log); err != nil || len(shown()) != 0 {
			t.Errorf("withdrawn: %v; %+v", err, shown())
		}
	})
	proven := ""
	tests := k.prove
	k.prove = func(ctx context.Context, tr trial) error {
		if all := shown(); len(all) != 0 {
			t.Errorf("shown before it is proven: %+v", all)
		}
		proven = tr.image
		return tests(ctx, tr)
	}
	if _, err := k.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	found, err := region.NewestImage(t.Context(), k.cfg.Cloud.Name)
	if err != nil || found.ID != proven {
		t.Errorf("a worker finds %q, %v; proven was %q", found.ID, err, proven)
	}
	if status, err := ReadStatus(k.path); err != nil || status.Phase != testbed.PhaseReady || !status.Complete() || status.Images[0].ID != proven {
		t.Errorf("status %+v, %v", status, err)
	}
}
