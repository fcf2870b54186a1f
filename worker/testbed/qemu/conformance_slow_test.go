//go:build slow

package qemu_test

import (
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/image/imagetest"
	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/qemu"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/unshare" // in which the image is proven
)

func TestMain(m *testing.M) { testbedtest.Main(m) }

// TestConformance boots a machine for each of its testbeds.
func TestConformance(t *testing.T) {
	image, queue := imagetest.Kernel(t)
	testbedtest.Run(t, testbedtest.Subject{Backend: "qemu", Queue: queue, Image: image, OwnKernel: true, Container: true})
}
