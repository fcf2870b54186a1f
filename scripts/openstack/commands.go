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

func upCommand() *cobra.Command {
	var directory, account, cache string
	c := &cobra.Command{
		Use:   "up",
		Short: "Start the cloud, or what of it does not run",
		Args:  cobra.NoArgs,
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
			made, err := newCloud(d)
			if err != nil {
				return err
			}
			if err := made.up(c.Context(), cache); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", d.Path(rcFolder))
			return err
		},
	}
	c.Flags().StringVar(&directory, "directory", "", "the cloud's folder (default openstack in the account's own place)")
	c.Flags().StringVar(&account, "account", "",
		"who runs the services when root starts this (default "+host.DefaultAccount+")")
	c.Flags().StringVar(&cache, "cache", defaultCache, "folder for the databases as the packages' migrations make them")
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
	var o command.FolderOptions
	var cache string
	c := &cobra.Command{
		Use:   "run [--keep] -- COMMAND...",
		Short: "Start a cloud, run a command, and remove everything again",
		Long: `Starts a cloud in a new folder, runs the command, removes everything, and exits with the command's code.

The command finds the cloud by its environment:
  AUTOPKGTEST_TEST_OPENSTACK  folder of RC files, USER-REGION.rc: admin, prodstack and scalingstack in lcy01 and lgw01
  AUTOPKGTEST_TEST_AMQP       path of the credentials file of the broker's administrator; the virtual host / is free
  AUTOPKGTEST_TEST_DIRECTORY  the cloud's folder`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, arguments []string) error {
			return run(c.Context(), o, cache, arguments)
		},
	}
	c.Flags().SetInterspersed(false) // flags after the command's name are the command's
	o.Flags(c)
	c.Flags().StringVar(&cache, "cache", defaultCache, "folder for the databases as the packages' migrations make them")
	return c
}

func run(ctx context.Context, o command.FolderOptions, cache string, arguments []string) (err error) {
	d, release, err := command.MakeFolder(ctx, stackName, o)
	if err != nil {
		return err
	}
	defer func() {
		if o.Keep {
			fmt.Fprintf(os.Stderr, "openstack: left in %s; `openstack down --directory %s` removes it\n", d.Path(), d.Path())
			return
		}
		if left := release(); left != nil {
			// The command's exit code must not hide it.
			fmt.Fprintln(os.Stderr, "openstack:", left)
			err = errors.Join(err, left)
		}
	}()
	made, err := newCloud(d)
	if err != nil {
		return err
	}
	if err := made.up(ctx, cache); err != nil {
		return err
	}
	return command.Execute(ctx, arguments, append(os.Environ(), made.environment()...))
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
