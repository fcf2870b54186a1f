// Command secrets looks for generated passwords where they must not be.
//
//	secrets scan build/log STATE PLAN...     fails if one is in these files
//	secrets watch -- make test               fails if one was among the arguments of any process meanwhile
//
// It is for tests. What it looks for, and does not, stands in package scan and at watch.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/secrets/scan"
)

func main() { os.Exit(start(os.Args[1:])) }

// found is the exit code for a secret; the command's own code goes before.
const found, wrong = 3, 2

func start(arguments []string) int {
	switch {
	case len(arguments) > 1 && arguments[0] == "scan":
		return scanFiles(arguments[1:])
	case len(arguments) > 2 && arguments[0] == "watch" && arguments[1] == "--":
		return watchCommand(arguments[2:])
	}
	fmt.Fprintln(os.Stderr, "secrets: say `scan PATH...` or `watch -- COMMAND...`")
	return wrong
}

func scanFiles(paths []string) int {
	places, files, err := scan.Tree(paths...)
	for _, place := range places {
		fmt.Fprintln(os.Stderr, "secrets: a generated secret, or a private key, is in", place)
	}
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "secrets:", err)
		return wrong
	case files == 0:
		fmt.Fprintln(os.Stderr, "secrets: there is no file in", paths)
		return wrong
	case len(places) > 0:
		return found
	}
	fmt.Printf("secrets: none in %d files\n", files)
	return 0
}

func watchCommand(arguments []string) int {
	command := exec.CommandContext(context.Background(), arguments[0], arguments[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	// A terminal's keys reach the command by themselves; what is sent to us alone is passed on.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	if err := command.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "secrets:", err)
		return wrong
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for got := range signals {
			if got != syscall.SIGINT {
				_ = command.Process.Signal(got)
			}
		}
	}()
	watched := make(chan *watch, 1)
	go func() {
		w := newWatch()
		w.run(ctx)
		watched <- w
	}()
	err := command.Wait()
	cancel()
	w := <-watched
	fmt.Fprintf(os.Stderr, "secrets: looked at the arguments of %d processes\n", w.processes)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode()
	case err != nil:
		fmt.Fprintln(os.Stderr, "secrets:", err)
		return wrong
	case len(w.said) > 0:
		return found
	}
	return 0
}
