package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

func sweepCommand() *cobra.Command {
	var name string
	command := &cobra.Command{
		Use:   "sweep PATH",
		Short: "End a stack and remove its folder, without Terraform's state",
		Long: `Ends every process that bears the folder's mark and removes the folder with everything in it: also the results and
the requests that are there. A folder without the mark is left alone.`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, arguments []string) error {
			path, err := filepath.Abs(arguments[0])
			if err != nil {
				return err
			}
			return sweep(command, path, name)
		},
	}
	command.Flags().StringVar(&name, "stack", "", "sweep only if this is the stack's name (default: whichever it is)")
	return command
}

func sweep(command *cobra.Command, path, name string) error {
	found, err := readMark(path)
	if err != nil && !errors.Is(err, host.ErrAbsent) {
		return err
	}
	if err == nil && name != "" && name != found {
		return fmt.Errorf("%s holds the stack %s, not %s: nothing was done", path, found, name)
	}
	begin := time.Now()
	if err := host.Sweep(command.Context(), path); err != nil {
		return err
	}
	if found == "" {
		_, err := fmt.Fprintf(command.OutOrStdout(), "there is no stack in %s\n", path)
		return err
	}
	_, err = fmt.Fprintf(command.OutOrStdout(), "removed the stack %s from %s in %.1f s\n", found, path,
		time.Since(begin).Seconds())
	return err
}
