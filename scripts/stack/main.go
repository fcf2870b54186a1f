// Command stack runs RabbitMQ and Swift in a folder of their own for as long as a command takes, and ends stacks of
// which nothing is known but their folder.
//
//	go run ./scripts/stack run -- go test -tags component ./...
//	go run ./scripts/stack status /srv/stack
//	go run ./scripts/stack sweep /srv/stack
//
// It is for developers and tests. Operators have Terraform, which does all of this and more.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/command"
)

func main() {
	root := &cobra.Command{
		Use:   "stack",
		Short: "Run RabbitMQ and Swift in a folder of their own",
	}
	root.AddCommand(runCommand(), command.Sweep(), command.Status(), command.Guard())
	os.Exit(command.Start(root))
}
