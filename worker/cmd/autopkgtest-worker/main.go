// Command autopkgtest-worker takes test requests from the broker, runs them in testbeds and stores the results.
//
//	autopkgtest-worker --config worker.conf            work until SIGTERM, then let running tests finish
//	autopkgtest-worker --config worker.conf --check    say what would be consumed and run, and whether it can be
//	… --check --request FILE                           and what would be executed for a request
//	autopkgtest-worker image --config image.conf       keep a testbed image fresh
//
// This is wiring: what a worker does is in package run.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/nova"
)

// Exit codes for supervisors.
const (
	exitOK     = 0
	exitFailed = 1 // it could not begin; trying again may help
	exitUsage  = 2 // flags or configuration are wrong; trying again will not help
)

func main() {
	testbed.InsideMain() // does not return in the first process of a run's namespaces
	if len(os.Args) > 1 && os.Args[1] == nova.Verb {
		os.Exit(nova.Main(os.Args[2:], nil)) // autopkgtest's set-up script, see package nova
	}
	os.Exit(start(os.Args[1:]))
}

func start(args []string) int {
	// A worker waits most of the time. A smaller heap matters more than the time that collecting it takes.
	debug.SetGCPercent(50)
	root := rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "autopkgtest-worker:", err)
		return exitUsage
	}
	fmt.Fprintln(os.Stderr, "autopkgtest-worker:", err)
	return exitFailed
}

// errUsage marks errors that only a human can mend.
var errUsage = errors.New("cannot be used like this")

func usage(err error) error { return fmt.Errorf("%w: %w", errUsage, err) }

// logging is how the program tells what it does.
type logging struct {
	format  string
	verbose bool
}

func (l logging) logger() (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	if l.verbose {
		options.Level = slog.LevelDebug
	}
	switch l.format {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), nil
	}
	return nil, usage(fmt.Errorf("--log-format is %q, want text or json", l.format))
}

func rootCommand() *cobra.Command {
	var (
		log     logging
		from    source
		check   bool
		request string
	)
	root := &cobra.Command{
		Use:           "autopkgtest-worker",
		Short:         "Run autopkgtest requests and store their results",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := log.logger()
			if err != nil {
				return err
			}
			if check {
				return checkConfiguration(cmd.Context(), from, request, cmd.InOrStdin(), cmd.OutOrStdout())
			}
			if request != "" {
				return usage(errors.New("--request is for --check: requests that are to be run come from the broker"))
			}
			return work(cmd.Context(), from, logger)
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	root.PersistentFlags().StringVar(&log.format, "log-format", "text", "form of the log on standard error: text or json")
	root.PersistentFlags().BoolVarP(&log.verbose, "verbose", "d", false, "log every step")
	root.Flags().StringVarP(&from.path, "config", "c", "/etc/autopkgtest-cloud/worker.conf", "configuration file")
	root.Flags().StringArrayVarP(&from.architectures, "architecture", "a", nil,
		"serve this architecture, and others that are named, instead of the configuration's")
	root.Flags().StringArrayVarP(&from.variables, "variable", "v", nil,
		"KEY=VALUE: what $KEY stands for in [virt] args and setup commands; may be repeated")
	root.Flags().BoolVar(&check, "check", false, "check the configuration, print what would be consumed and run, and exit")
	root.Flags().BoolVar(&from.allowExposed, "allow-exposed", false,
		"take a backend whose tests run on this machine itself and can read the worker's passwords")
	root.Flags().StringVar(&request, "request", "",
		"with --check: print the command line for the request in this file, a message's body; - for standard input")
	root.AddCommand(imageCommand(&log))
	return root
}
