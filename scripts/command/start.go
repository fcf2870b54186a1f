// Package command is what the programs share that run services in a folder of their own: how they start and end, a command run
// beside the services, a guard that removes them should the program be killed, and what there is to see of them.
package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// Start runs the program and returns its exit code. It is told to end by the usual signals, or by its parent's death.
func Start(root *cobra.Command) int {
	// `go run` that is killed would leave us behind, and us a whole stack.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGTERM), 0, 0, 0); err != nil {
		fmt.Fprintf(os.Stderr, "%s: ask for a signal at the parent's death: %v\n", root.Name(), err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	root.SilenceUsage, root.SilenceErrors = true, true
	err := root.ExecuteContext(ctx)
	var ended *ExitError
	if errors.As(err, &ended) {
		return ended.Code
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", root.Name(), err)
		return 1
	}
	return 0
}

// ExitError carries the exit code of the command that was run. It was loud enough itself.
type ExitError struct{ Code int }

func (e *ExitError) Error() string { return fmt.Sprintf("exit code %d", e.Code) }
