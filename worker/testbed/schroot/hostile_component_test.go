//go:build component

package schroot_test

import (
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/image/imagetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

// TestHostile attacks from the user namespace that owns the run's network: the filter holds all the same.
func TestHostile(t *testing.T) {
	if !testbedtest.OnOtherMachine(t) {
		return
	}
	image, queue := imagetest.Image(t, "")
	testbedtest.RunHostile(t, testbedtest.Subject{Backend: "schroot", Queue: queue, Image: image})
}
