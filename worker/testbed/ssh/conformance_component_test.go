//go:build component

package ssh_test

import (
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/image/imagetest"
	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/ssh"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/unshare" // in which the image is proven
)

func TestMain(m *testing.M) { testbedtest.Main(m) }

func TestConformance(t *testing.T) {
	image, queue := imagetest.Machine(t)
	c := newCloud(t, image)
	testbedtest.Run(t, testbedtest.Subject{
		Backend: "ssh", Queue: queue, Arguments: c.arguments(), Left: c.left, Elsewhere: true,
		Capabilities: []testbed.Capability{testbed.RootOnTestbed, testbed.Revert, testbed.RevertFullSystem},
	})
}
