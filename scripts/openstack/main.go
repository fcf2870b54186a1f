// Command openstack runs a real OpenStack in a folder of its own, made of Debian 12's packages: Keystone, Glance, Swift, and in each of
// two regions Placement, Nova and Neutron. Its hypervisors are simulated: servers become ACTIVE and have addresses, and nobody
// answers there.
//
//	go run ./scripts/openstack up
//	go run ./scripts/openstack status
//	go run ./scripts/openstack down
//	go run ./scripts/openstack run -- go test -tags openstack ./...
//
// Nothing of it needs root, or touches the machine beside its folder: all processes run as the services' account, listen on loopback,
// and Neutron's agents live in network namespaces. `scripts/setup --openstack` installs the packages; the folder of their
// configuration, /etc, is not read. The paste files of Glance, Nova and Neutron are read from below /usr/share.
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
	root.AddCommand(upCommand(), downCommand(), statusCommand(), runCommand(), command.Guard(), agentCommand(), roomCommand())
	os.Exit(command.Start(root))
}
