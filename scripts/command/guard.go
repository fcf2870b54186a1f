package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// StartGuard starts a process that removes the stack should we be killed: it notices when the pipe that we hold is
// closed. dismiss ends it, once the stack is gone.
func StartGuard(path string) (dismiss func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start a guard for %s: %w", path, err)
	}
	guard := exec.CommandContext(context.Background(), self, "guard", path) // no context of ours ends it: it outlives us
	guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := guard.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start a guard for %s: %w", path, err)
	}
	if err := guard.Start(); err != nil {
		return nil, fmt.Errorf("start a guard for %s: %w", path, err)
	}
	return func() error { return errors.Join(pipe.Close(), guard.Wait()) }, nil
}

// Guard is the command that StartGuard starts. Every program that calls that has it.
func Guard() *cobra.Command {
	return &cobra.Command{
		Use:    "guard PATH",
		Short:  "Sweep the folder at the end of standard input",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, arguments []string) error {
			signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
			if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
				return err
			}
			return host.Sweep(command.Context(), arguments[0])
		},
	}
}
