//go:build slow

package lxd_test

import (
	"os"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/container"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/image/imagetest"
	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/lxd"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/unshare" // in which the image is proven
)

// TestMain stays root: LXD must be.
func TestMain(m *testing.M) { testbedtest.MainRoot(m) }

// TestImage builds the image, which root may not do.
func TestImage(t *testing.T) {
	if os.Geteuid() == 0 {
		testbedtest.AsAccount(t, "TestImage")
		return
	}
	imagetest.Machine(t)
}

func TestConformance(t *testing.T) {
	testbedtest.AsAccount(t, "TestImage")
	image, queue := imagetest.Machine(t)
	testbedtest.Run(t, testbedtest.Subject{Backend: "lxd", Queue: queue, Image: image, Container: true, Left: container.Left})
}
