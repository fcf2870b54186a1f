package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/command"
)

// execCommand is the way to the guests: their addresses are in the room's network alone.
func execCommand() *cobra.Command {
	var directory string
	c := &cobra.Command{
		Use:   "exec [--directory FOLDER] -- COMMAND...",
		Short: "Run a command where the floating IPs of guests are reached, with the environment that run gives",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, arguments []string) error {
			path, err := existingFolder(directory)
			if err != nil {
				return err
			}
			d, err := host.Open(path, stackName)
			if err != nil {
				return err
			}
			made, err := newCloud(d, defaultCache)
			if err != nil {
				return err
			}
			variables, err := made.environment()
			if err != nil {
				return err
			}
			if arguments, err = made.inside(arguments); err != nil {
				return err
			}
			return command.Execute(c.Context(), arguments, append(os.Environ(), variables...))
		},
	}
	c.Flags().SetInterspersed(false) // flags after the command's name are the command's
	c.Flags().StringVar(&directory, "directory", "", "the cloud's folder (default as for up)")
	return c
}

// inside is the same command, in the network of the guests: there are their floating IPs, the cloud's services at their addresses, the
// world outside, and nothing else of this machine. Files are the machine's.
func (c *cloud) inside(arguments []string) ([]string, error) {
	pid, err := c.roomOfGuests()
	if err != nil {
		return nil, err
	}
	words := []string{"nsenter", "--target", pid, "--net"}
	if os.Geteuid() != 0 {
		words = append(words, "--user", "--preserve-credentials")
	}
	return append(append(words, "--"), arguments...), nil
}

// roomPID is the file in which the room of the guests has its first process.
const roomPID = "room.pid"

// roomOfGuests is the first process of their room.
func (c *cloud) roomOfGuests() (pid string, err error) {
	closed := func(err error) error {
		return &host.Problem{
			Kind: host.ErrAbsent, Thing: "the guests' network of the cloud in " + c.at.folder, Cause: "is not there", Err: err,
			WayOut: "`openstack up --guests` makes a cloud that has one.",
		}
	}
	content, err := os.ReadFile(c.at.service(hypervisorName(regions[0]), roomPID))
	if err != nil {
		return "", closed(err)
	}
	pid = string(content)
	variables, err := os.ReadFile("/proc/" + pid + "/environ")
	if err != nil {
		return "", closed(err)
	}
	if !bytes.Contains(variables, []byte(host.DirectoryMark+"="+c.at.folder)) { // the number is somebody else's by now
		return "", closed(fmt.Errorf("process %s is not its own", pid))
	}
	return pid, nil
}
