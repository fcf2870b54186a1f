//go:build openstack && guests && slow

// Package guests has tests of the backend nova with servers that boot. Those beside the backend itself have another program, which
// takes this machine for all servers.
package guests

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/nova"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

// TestMain makes the test's program the set-up script, too, as the worker's program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == nova.Verb {
		os.Exit(nova.Main(os.Args[2:], nil))
	}
	testbedtest.Main(m)
}

// slow is by how much an emulated machine is slower than those that the backend is for.
const slow = 5

// TestConformance boots a server for each of its testbeds.
func TestConformance(t *testing.T) {
	const group = "conformance"
	region := openstacktest.Region(t, openstacktest.Scalingstack, openstacktest.Lcy01)
	openstacktest.KeepsBelongings(t, region)
	openstacktest.OpenDoor(t, region, group)
	of := config.Nova{
		RCFiles: []string{openstacktest.RCFile(t, openstacktest.Scalingstack, openstacktest.Lcy01)}, KeyFile: openstacktest.PrivateKey(t),
		ImagePattern: openstacktest.GuestImage, Flavor: openstacktest.GuestFlavor, Options: openstacktest.GuestOptions(group),
	}
	backend, err := testbed.Lookup(nova.Name)
	if err != nil {
		t.Fatal(err)
	}
	testbedtest.Run(t, testbedtest.Subject{
		Backend: nova.Name, Queue: testbedtest.ThisMachine(t), Arguments: append([]string{nova.Name}, of.NovaWords(of.Flavor)...),
		Capabilities: append(slices.Clone(backend.Properties().Capabilities), testbed.RootOnTestbed), // the image's user has sudo
		OwnKernel:    true, Elsewhere: true, Slow: slow,
		Left: func() []string { return left(t, region) },
	})
}

// left are the servers and addresses that nobody has told to go.
func left(t *testing.T, region *openstack.Region) (all []string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	servers, err := region.ServersTagged(ctx)
	for _, server := range servers {
		if server.TaskState != "deleting" && server.Status != openstack.StatusDeleted {
			all = append(all, "server "+server.Name+" "+server.ID)
		}
	}
	addresses, unlisted := region.FloatingIPs(ctx)
	for _, address := range addresses {
		all = append(all, "floating IP "+address.FloatingIP)
	}
	if err := errors.Join(err, unlisted); err != nil {
		t.Error(err)
	}
	return all
}
