// Package null is the backend without a testbed: tests run on this machine itself, as the worker's account. It is for
// machines that are testbeds themselves, made for one package and thrown away.
//
// Nothing is reverted, and a test can read whatever the account can, the worker's passwords first. So a program takes this
// backend only when it is told that this is meant. Processes, mounts and temporary files of a run are its own and go with
// it; packages that root has installed stay.
package null

import (
	"os"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Name is the backend's name, and that of autopkgtest's virtualization server.
const Name = "null"

type backend struct{}

var _ testbed.Backend = backend{}

func init() { testbed.Register(backend{}) }

func (backend) Name() string { return Name }

func (backend) Arguments(t testbed.Testbed) []string { return append([]string{Name}, t.Given...) }

// Properties are what autopkgtest's server claims, which is more than is true: there is a machine, but it is not isolated.
func (backend) Properties() testbed.Properties {
	capabilities := []testbed.Capability{testbed.IsolationMachine}
	if os.Geteuid() == 0 {
		capabilities = append(capabilities, testbed.RootOnTestbed)
	}
	return testbed.Properties{
		Capabilities: capabilities, Imageless: true, OnMachine: true,
		Exposes: "its tests run on this machine itself, and can read what the worker's account can read, its passwords too",
	}
}
