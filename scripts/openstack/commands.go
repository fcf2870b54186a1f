package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/command"
)

// defaultCache is where `make` keeps what takes long to make, relative to the checkout.
const defaultCache = "build/cache/openstack"

// options are those of a cloud, wherever it is.
type options struct {
	cache  string
	guests bool
}

func (o *options) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.cache, "cache", defaultCache, "folder for what takes long to make: databases, the image of guests")
	c.Flags().BoolVar(&o.guests, "guests", false, "servers of the first region are machines, emulated by qemu, and boot in minutes")
}

// start makes a cloud run in a folder.
func start(ctx context.Context, d *host.Directory, o options) (*cloud, error) {
	if err := chooseGuests(d, o.guests); err != nil {
		return nil, err
	}
	c, err := newCloud(d, o.cache)
	if err != nil {
		return nil, err
	}
	return c, c.up(ctx)
}

func upCommand() *cobra.Command {
	var directory, account string
	var o options
	c := &cobra.Command{
		Use:   "up",
		Short: "Start the cloud, or what of it does not run",
		Long: `Starts the cloud, or what of it does not run. A cloud that has guests keeps them, also without the option.

With guests, floating IPs of the first region are reached by ` + "`openstack exec`" + ` alone.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			who, err := host.Choose(account)
			if err != nil {
				return err
			}
			path, err := folder(directory, who)
			if err != nil {
				return err
			}
			d, err := host.Create(c.Context(), host.Options{Path: path, Stack: stackName, Account: who})
			if err != nil {
				return err
			}
			if _, err := start(c.Context(), d, o); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", d.Path(rcFolder))
			return err
		},
	}
	c.Flags().StringVar(&directory, "directory", "", "the cloud's folder (default openstack in the account's own place)")
	c.Flags().StringVar(&account, "account", "",
		"who runs the services when root starts this (default "+host.DefaultAccount+")")
	o.flags(c)
	return c
}

func downCommand() *cobra.Command {
	var directory string
	c := &cobra.Command{
		Use:   "down",
		Short: "End the cloud and remove its folder",
		Long: `Ends every process that bears the folder's mark, and only those, and removes the folder with everything in it. A folder
without the mark is left alone. It does not matter how the cloud was left: also one that was killed half-way is removed.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := existingFolder(directory)
			if err != nil {
				return err
			}
			return command.SweepFolder(c.Context(), c.OutOrStdout(), path, stackName)
		},
	}
	c.Flags().StringVar(&directory, "directory", "", "the cloud's folder (default as for up)")
	return c
}

func statusCommand() *cobra.Command {
	var directory string
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the processes of the cloud",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := existingFolder(directory)
			if err != nil {
				return err
			}
			return command.ShowStatus(c.Context(), c.OutOrStdout(), path)
		},
	}
	c.Flags().StringVar(&directory, "directory", "", "the cloud's folder (default as for up)")
	return c
}

func runCommand() *cobra.Command {
	var place command.FolderOptions
	var o options
	c := &cobra.Command{
		Use:   "run [--keep] [--guests] -- COMMAND...",
		Short: "Start a cloud, run a command, and remove everything again",
		Long: `Starts a cloud in a new folder, runs the command, removes everything, and exits with the command's code.

The command finds the cloud by its environment:
  AUTOPKGTEST_TEST_OPENSTACK  folder of RC files, USER-REGION.rc: admin, prodstack and scalingstack in lcy01 and lgw01
  AUTOPKGTEST_TEST_AMQP       amqp://USER:PASSWORD@HOST:PORT/, an administrator of the cloud's broker; the virtual host / is free
  AUTOPKGTEST_TEST_MANAGEMENT http://USER:PASSWORD@HOST:PORT, the same user
  AUTOPKGTEST_TEST_DIRECTORY  the cloud's folder

With guests, the command runs where their floating IPs are reached: in a network of its own, with the cloud's services and a way to the
world outside.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, arguments []string) error {
			return run(c.Context(), place, o, arguments)
		},
	}
	c.Flags().SetInterspersed(false) // flags after the command's name are the command's
	place.Flags(c)
	o.flags(c)
	return c
}

func run(ctx context.Context, place command.FolderOptions, o options, arguments []string) (err error) {
	d, release, err := command.MakeFolder(ctx, stackName, place)
	if err != nil {
		return err
	}
	defer func() {
		if place.Keep {
			fmt.Fprintf(os.Stderr, "openstack: left in %s; `openstack down --directory %s` removes it\n", d.Path(), d.Path())
			return
		}
		if left := release(); left != nil {
			// The command's exit code must not hide it.
			fmt.Fprintln(os.Stderr, "openstack:", left)
			err = errors.Join(err, left)
		}
	}()
	c, err := start(ctx, d, o)
	if err != nil {
		return err
	}
	variables, err := c.environment()
	if err != nil {
		return err
	}
	if o.guests {
		arguments, err = c.inside(arguments)
		if err != nil {
			return err
		}
	}
	return command.Execute(ctx, arguments, append(os.Environ(), variables...))
}

// folder is the one that was given, or a fixed one in the account's own place.
func folder(given string, account host.Account) (string, error) {
	switch {
	case given != "":
		return filepath.Abs(given)
	case os.Geteuid() == 0:
		return filepath.Join(account.Home, "openstack"), nil
	}
	return filepath.Join(account.Home, ".local/state/autopkgtest-cloud/openstack"), nil
}

// existingFolder does not need the account when the folder was given: the account may be gone.
func existingFolder(given string) (string, error) {
	if given != "" {
		return filepath.Abs(given)
	}
	account, err := host.Choose("")
	if err != nil {
		return "", err
	}
	return folder("", account)
}
