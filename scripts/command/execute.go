package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/term"
)

// endLimit is how long the command may take to end once it was told to. Tests have services of their own to end.
const endLimit = 2 * time.Minute

// Execute runs the command with our own three descriptors. When we are told to end, so is the command.
//
// It gets a process group of its own, so that all of it can be ended; but not on a terminal: there, only one group may
// read, and the keys that end us end the command as well.
func Execute(ctx context.Context, arguments, environment []string) error {
	grouped := !term.IsTerminal(int(os.Stdin.Fd()))
	command := exec.CommandContext(ctx, arguments[0], arguments[1:]...)
	command.Env = environment
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: grouped, Pdeathsig: syscall.SIGKILL}
	command.Cancel = func() error {
		if grouped {
			return syscall.Kill(-command.Process.Pid, syscall.SIGTERM)
		}
		return command.Process.Signal(syscall.SIGTERM)
	}
	command.WaitDelay = endLimit
	err := command.Run()
	if grouped && command.Process != nil {
		if left := syscall.Kill(-command.Process.Pid, syscall.SIGKILL); left != nil && !errors.Is(left, syscall.ESRCH) {
			err = errors.Join(err, left)
		}
	}
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended):
		return &ExitError{Code: code(ended.ProcessState)}
	case err != nil:
		return fmt.Errorf("run %s: %w", arguments[0], err)
	}
	return nil
}

// code is the exit code as a shell shows it.
func code(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}
