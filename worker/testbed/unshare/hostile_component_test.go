//go:build component

package unshare_test

import (
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/image/imagetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

// TestHostile lets a package try to reach all that tests are kept away from, on a machine with addresses of every kind.
func TestHostile(t *testing.T) {
	if !testbedtest.OnOtherMachine(t) {
		return
	}
	image, queue := imagetest.Image(t, "")
	testbedtest.RunHostile(t, testbedtest.Subject{Backend: "unshare", Queue: queue, Image: image})
}
