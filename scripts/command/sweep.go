package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// Sweep is the command that ends any stack.
func Sweep() *cobra.Command {
	var name string
	command := &cobra.Command{
		Use:   "sweep PATH",
		Short: "End a stack and remove its folder, without Terraform's state",
		Long: `Ends every process that bears the folder's mark and removes the folder with everything in it: also the results and
the requests that are there. A folder without the mark is left alone.`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, arguments []string) error {
			return SweepFolder(command.Context(), command.OutOrStdout(), arguments[0], name)
		},
	}
	command.Flags().StringVar(&name, "stack", "", "sweep only if this is the stack's name (default: whichever it is)")
	return command
}

// SweepFolder ends the stack in the folder, removes the folder, and says so. With a name it does so only if the stack is
// called that.
func SweepFolder(ctx context.Context, w io.Writer, path, name string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	found, err := readMark(path)
	if err != nil && !errors.Is(err, host.ErrAbsent) {
		return err
	}
	if err == nil && name != "" && name != found {
		return fmt.Errorf("%s holds the stack %s, not %s: nothing was done", path, found, name)
	}
	begin := time.Now()
	if err := host.Sweep(ctx, path); err != nil {
		return err
	}
	if found == "" {
		_, err := fmt.Fprintf(w, "there is no stack in %s\n", path)
		return err
	}
	_, err = fmt.Fprintf(w, "removed the stack %s from %s in %.1f s\n", found, path, time.Since(begin).Seconds())
	return err
}
