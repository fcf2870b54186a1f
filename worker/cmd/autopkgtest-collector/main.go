// Command autopkgtest-collector learns of results, keeps their index and serves the website that shows them.
//
//	autopkgtest-collector --config collector.conf
//
// It reads results from the store as anybody can, and needs a broker account that may, as a regular expression on names:
//
//	configure  ^(complete-listener|running-listener|teststatus\.fanout)$
//	write      ^(complete-listener|running-listener)$
//	read       ^(complete-listener|running-listener|teststatus\.fanout|testcomplete\.fanout)$
//
// It declares the two queues and binds them, which writes to a queue and reads from its exchange. It declares the exchange
// for status messages, which does not outlive a restart of the broker; the other one must be there, or it needs the right to
// configure it, too. The length of a request queue needs no right at all.
//
// Nothing that it keeps is precious: without its index it builds the same one from the store, without the broker it finds
// results by listing the store, without the store it shows what the index knows.
//
// This is wiring. What is believed of a result is in package index, what is shown of it in package site.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Exit codes for supervisors.
const (
	exitOK     = 0
	exitFailed = 1 // it could not begin; trying again may help
	exitUsage  = 2 // flags or configuration are wrong; trying again will not help
)

func main() { os.Exit(start(os.Args[1:])) }

func start(args []string) int {
	// A collector waits most of the time. A smaller heap matters more than the time that collecting it takes.
	debug.SetGCPercent(40)
	// A signal means: finish what is being answered and end. All that is written is safe at any moment.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	root := rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(os.Stderr, "autopkgtest-collector:", err)
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return exitFailed
}

// errUsage marks errors that only a human can mend.
var errUsage = errors.New("cannot be used like this")

func usage(err error) error { return fmt.Errorf("%w: %w", errUsage, err) }

func rootCommand() *cobra.Command {
	var (
		path, format string
		verbose      bool
		listEvery    time.Duration
	)
	root := &cobra.Command{
		Use:           "autopkgtest-collector",
		Short:         "Index autopkgtest results and serve the website that shows them",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logger(format, verbose)
			if err != nil {
				return err
			}
			if listEvery < time.Second {
				return usage(fmt.Errorf("--list-every is %s, want at least 1s", listEvery))
			}
			return collect(cmd.Context(), path, listEvery, log)
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	root.Flags().StringVarP(&path, "config", "c", "/etc/autopkgtest-cloud/collector.conf", "configuration file")
	root.Flags().DurationVar(&listEvery, "list-every", 3*time.Minute,
		"how long to wait between two listings of the store, which find what no message told of")
	root.Flags().StringVar(&format, "log-format", "text", "form of the log on standard error: text or json")
	root.Flags().BoolVarP(&verbose, "verbose", "v", false, "log every step")
	return root
}

func logger(format string, verbose bool) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	if verbose {
		options.Level = slog.LevelDebug
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), nil
	}
	return nil, usage(fmt.Errorf("--log-format is %q, want text or json", format))
}
