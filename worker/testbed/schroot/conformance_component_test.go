//go:build component

package schroot_test

import (
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/image/imagetest"
	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/schroot"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/unshare" // in which the image is proven
)

func TestMain(m *testing.M) { testbedtest.Main(m) }

func TestConformance(t *testing.T) {
	image, queue := imagetest.Image(t, "")
	testbedtest.Run(t, testbedtest.Subject{Backend: "schroot", Queue: queue, Image: image})
}
