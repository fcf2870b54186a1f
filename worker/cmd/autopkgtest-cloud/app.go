package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
)

// app is the command with everything that it takes from the outside, so that tests can give it something else.
type app struct {
	out, err io.Writer
	getenv   func(string) string
	width    func() (columns int, terminal bool) // of what err writes to
	now      func() time.Time
	pause    func(context.Context, time.Duration) error
	dial     func(context.Context, config.Broker) (publisher, error)
	sitePath string // configuration of the existing site

	configPath  string // flag --config
	credentials string // flag --credentials
	json        bool   // flag --json
}

// publisher is the part of a broker's session that requests and commands to workers need.
type publisher interface {
	Depth(ctx context.Context, queue string) (ready, consumers int, err error)
	Publish(ctx context.Context, exchange, key string, body []byte, persistent bool) error
	Get(ctx context.Context, queue string) (queue.Delivery, bool, error)
	Ask(ctx context.Context, commands []queue.Command) (<-chan queue.Answer, error)
	Close() error
}

func newApp() *app {
	return &app{
		out: os.Stdout, err: os.Stderr, getenv: os.Getenv, now: time.Now, pause: pause, sitePath: sitePath,
		width: func() (int, bool) {
			if !term.IsTerminal(int(os.Stderr.Fd())) {
				return 0, false
			}
			columns, _, err := term.GetSize(int(os.Stderr.Fd()))
			return columns, err == nil
		},
		dial: func(ctx context.Context, broker config.Broker) (publisher, error) {
			return queue.Dial(ctx, broker, queue.WithName("autopkgtest-cloud"))
		},
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// compatible is the name under which the command is the old tool.
const compatible = "run-autopkgtest"

// run executes a command line, name first, and returns the exit code.
func (a *app) run(ctx context.Context, line []string) int {
	name := filepath.Base(line[0])
	var command *cobra.Command
	if name == compatible {
		command = a.compatibleCommand()
	} else {
		name = "autopkgtest-cloud"
		command = a.rootCommand()
	}
	command.SetArgs(append([]string{}, line[1:]...)) // never nil, for which cobra would take the process's own
	command.SetOut(a.out)
	command.SetErr(a.err)
	err := command.ExecuteContext(ctx)
	var outcome *testOutcome
	switch {
	case err == nil:
		return 0
	case errors.As(err, &outcome):
		return outcome.code // has been told already
	}
	code := exitCode(err)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		code = exitInterrupted
	}
	fmt.Fprintf(a.err, "%s: %v\n", name, err)
	if code == exitUsage {
		fmt.Fprintf(a.err, "%s --help tells more.\n", name)
	}
	return code
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "autopkgtest-cloud",
		Short: "Request tests of packages, see what becomes of them, and end them",
		Long: `Request tests of packages, see what becomes of them, and end them.

The cloud is found through a configuration file: the one that --config or
AUTOPKGTEST_CLOUD_CONFIG names, ~/.config/autopkgtest-cloud.conf, or
/etc/autopkgtest-website/autopkgtest-cloud.conf. It holds

    [web]
    url = http://the.results.site
    [amqp]
    credentials_file = /file/with/the/operator's/account
    [management]
    url = http://the.broker:15672
    credentials_file = /file/with/the/administrator's/account

and needs the second part only for requests, cancel, requeue and rejected, and the third for
rotate and expire. An account that is a requester's suffices for requests.

` + exitCodeHelp,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("there is no command %q", args[0])
			}
			return nil
		},
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	root.PersistentFlags().StringVar(&a.configPath, "config", "", "configuration `FILE`")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON for programs")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(a.requestCommand(), a.queuesCommand(), a.runningCommand(), a.resultsCommand(), a.cancelCommand(),
		a.requeueCommand(), a.rejectedCommand(), a.rotateCommand(), a.expireCommand())
	return root
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
