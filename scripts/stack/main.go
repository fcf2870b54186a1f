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
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func main() {
	os.Exit(start())
}

func start() int {
	// `go run` that is killed would leave us behind, and us a whole stack.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGTERM), 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "stack: ask for a signal at the parent's death:", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	root := &cobra.Command{
		Use:           "stack",
		Short:         "Run RabbitMQ and Swift in a folder of their own",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(runCommand(), sweepCommand(), statusCommand(), guardCommand())
	err := root.ExecuteContext(ctx)
	var ended *exitError
	if errors.As(err, &ended) {
		return ended.code
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stack:", err)
		return 1
	}
	return 0
}

// exitError carries the exit code of the command that was run. It was loud enough itself.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }
