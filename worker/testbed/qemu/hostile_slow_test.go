//go:build slow

package qemu_test

import (
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/image/imagetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

// TestHostile attacks from a machine. Of qemu's own network it may ask the nameserver, which asks that of the run.
func TestHostile(t *testing.T) {
	if !testbedtest.OnOtherMachine(t) {
		return
	}
	image, queue := imagetest.Kernel(t)
	testbedtest.RunHostile(t, testbedtest.Subject{
		Backend: "qemu", Queue: queue, Image: image, OwnKernel: true, Container: true, Nameservers: []string{"10.0.2.3"},
	})
}
