//go:build component

package unshare_test

import (
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/image/imagetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

func TestConformance(t *testing.T) {
	image, queue := imagetest.Image(t, "")
	testbedtest.Run(t, testbedtest.Subject{Backend: "unshare", Queue: queue, Image: image})
}
