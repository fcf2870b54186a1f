// Package lxc is the backend for tests that need a machine of their own in all but the kernel: a testbed is a container
// that is booted, with an init, and can be booted again.
//
// Its tools must be root of this machine, and who is root of such a container is not far from it: it is for packages that
// one trusts. The container's bridge is in the network of its run, so that the run's filter holds for it, and all of it
// goes with the run but the container's control groups, which Clean removes.
package lxc

import (
	"context"
	"errors"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/container"
)

// Name is the backend's name, and that of autopkgtest's virtualization server.
const Name = "lxc"

const (
	imagePath = "/images/unpacked"
	stateRoot = "/var/lib/lxc"
	template  = "image" // the container that every testbed is a copy of
)

type backend struct{}

var (
	_ testbed.Backend   = backend{}
	_ testbed.Furnisher = backend{}
	_ testbed.Cleaner   = backend{}
)

func init() { testbed.Register(backend{}) }

func (backend) Name() string { return Name }

// Arguments name the container, so that its control groups can be found again. A copy is an overlay on the image.
func (backend) Arguments(t testbed.Testbed) []string {
	if t.Given != nil {
		return append([]string{Name, "--name", t.Name}, t.Given...)
	}
	return []string{Name, "--name", t.Name, "--ephemeral", template}
}

func (backend) Properties() testbed.Properties {
	return testbed.Properties{
		Capabilities: []testbed.Capability{testbed.RootOnTestbed, testbed.Revert, testbed.RevertFullSystem,
			testbed.IsolationContainer, testbed.Reboot},
		Commands: map[string]string{"lxc-copy": "lxc", "lxc-start": "lxc", "lxc-attach": "lxc", "nft": "nftables"},
		Packages: []string{"systemd-sysv", "dbus"}, Privileged: true,
	}
}

var errNoImage = errors.New("its testbeds are made from our images, not from containers of this machine: leave away what names one")

func (backend) Furnish(t testbed.Testbed) (testbed.Furniture, error) {
	if t.Image == "" {
		return testbed.Furniture{}, errNoImage
	}
	return testbed.Furniture{
		Files: map[string]string{
			stateRoot + "/" + template + "/config": configuration,
			"/etc/lxc/lxc.conf":                    "lxc.lxcpath = " + stateRoot + "\n",
			"/etc/lxc/default.conf":                "lxc.net.0.type = empty\n",
		},
		Folders: []string{stateRoot, "/run", "/var/log/lxc", "/var/cache/lxc"},
		Unpack:  imagePath,
		Script:  container.Network,
	}, nil
}

const configuration = `lxc.include = /usr/share/lxc/config/common.conf
lxc.uts.name = ` + testbed.Hostname + `
lxc.rootfs.path = dir:` + imagePath + `
lxc.apparmor.profile = unconfined
lxc.net.0.type = veth
lxc.net.0.link = ` + container.Bridge + `
lxc.net.0.flags = up
lxc.net.0.ipv4.address = ` + container.Address + `
lxc.net.0.ipv4.gateway = ` + container.Gateway + `
`

// Clean ends what is left of a container and removes its control groups.
func (backend) Clean(ctx context.Context, of testbed.Remains) error {
	return container.Clean(ctx, of.Testbed.Name)
}
