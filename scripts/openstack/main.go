// Command openstack runs a real OpenStack in a folder of its own, made of Debian 12's packages: Keystone, Glance, Swift, and in each of
// two regions Placement, Nova and Neutron. Its hypervisors are simulated: servers become ACTIVE and have addresses, and nobody
// answers there. With --guests, servers of the first region are machines, which qemu emulates.
//
//	go run ./scripts/openstack up [--guests]
//	go run ./scripts/openstack status
//	go run ./scripts/openstack down
//	go run ./scripts/openstack run [--guests] -- go test -tags openstack ./...
//	go run ./scripts/openstack exec -- ssh debian@172.24.4.17
//
// Nothing of it needs root, or touches the machine beside its folder: all processes run as the services' account, listen on loopback,
// and Neutron's agents and the guests live in namespaces (room.go). `scripts/setup --openstack [--guests]` installs the packages; the
// folder of their configuration, /etc, is not read. The paste files of Glance, Nova and Neutron are read from below /usr/share.
//
// Start reading at cloud, then service.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/command"
)

// stackName marks the folders of this command, so that no deployment takes one for its own.
const stackName = "openstack"

func main() {
	root := &cobra.Command{
		Use:   "openstack",
		Short: "Run a real OpenStack in a folder of its own",
	}
	root.AddCommand(upCommand(), downCommand(), statusCommand(), runCommand(), execCommand())
	root.AddCommand(command.Guard(), agentCommand(), roomCommand())
	os.Exit(command.Start(root))
}
