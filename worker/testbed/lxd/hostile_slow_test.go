//go:build slow

package lxd_test

import (
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/container"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/image/imagetest"
	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/lxd"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

func TestHostile(t *testing.T) {
	if !testbedtest.IsOtherMachine() {
		testbedtest.AsAccount(t, "TestImage") // root may not build it, there as here
	}
	if !testbedtest.OnOtherMachine(t) {
		return
	}
	image, queue := imagetest.Machine(t)
	for _, wayOut := range []string{testbed.WayOutSlirp, testbed.WayOutVeth} {
		t.Run(wayOut, func(t *testing.T) {
			testbedtest.RunHostile(t, testbedtest.Subject{
				Backend: "lxd", Queue: queue, Image: image, Container: true, Left: container.Left, NoIPv6: true, WayOut: wayOut,
			})
		})
	}
}
