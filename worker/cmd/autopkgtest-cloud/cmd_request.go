package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// order is what the command line asks for: every package on every architecture.
type order struct {
	series        string
	architectures []string
	packages      []string
	bulk          bool
	template      request.Request // all but the package and the id
}

// flags adds those of run-autopkgtest. Lists are repeated flags, never split at commas: values may hold them.
func (o *order) flags(flags *pflag.FlagSet, getenv func(string) string) {
	t := &o.template
	flags.StringVarP(&o.series, "series", "s", "", "`RELEASE` to test in (required)")
	flags.StringArrayVarP(&o.architectures, "architecture", "a", nil, "`ARCHITECTURE` to test on (required, repeatable)")
	flags.StringArrayVar(&t.Triggers, "trigger", nil, "what causes the test, `SOURCE/VERSION`, or "+request.Reference+
		" for the release as it is (required, repeatable)")
	flags.StringArrayVar(&t.PPAs, "ppa", nil, "archive to add, `OWNER/NAME`; the last one names the container (repeatable)")
	flags.StringArrayVar(&t.Env, "env", nil, "variable for the test, `NAME=VALUE` (repeatable)")
	flags.StringVar(&t.TestGit, "test-git", "", "take the tests from this git `URL[#BRANCH]`, the binaries from the archive")
	flags.StringVar(&t.BuildGit, "build-git", "", "build from this git `URL[#BRANCH]` and test that")
	flags.StringVar(&t.SwiftUser, "swiftuser", "", "private run: `USER` who may read the result")
	flags.StringArrayVar(&t.ReadableBy, "readable-by", nil, "private run: person or team `NAME` who may see it (repeatable)")
	flags.BoolVar(&t.AllProposed, "all-proposed", false, "take everything from -proposed, not only the triggers")
	flags.BoolVar(&o.bulk, "bulk", false, "queue behind the requests of others")
	flags.StringVar(&t.Requester, "requester", getenv("SUDO_USER"), "`NAME` of who asks")
}

// ticket is one request that goes out.
type ticket struct {
	request request.Request
	queue   request.Queue
	body    []byte
}

func (t *ticket) prepare() (err error) {
	if err := t.queue.Validate(); err != nil {
		return err
	}
	if err := t.request.Validate(); err != nil {
		return err
	}
	t.body, err = t.request.Body()
	return err
}

// submitTime is run-autopkgtest's own form.
const submitTime = "2006-01-02 15:04:05.000000-0700"

// tickets checks the order and makes its messages. Nothing has been sent when it fails.
func (o *order) tickets(now time.Time, id func() string) ([]ticket, error) {
	switch {
	case o.series == "":
		return nil, usage("--series is missing: which release to test in")
	case len(o.architectures) == 0:
		return nil, usage("--architecture is missing: where to test")
	case len(o.template.Triggers) == 0:
		return nil, usage("--trigger is missing: SOURCE/VERSION that causes the test, or %s to test the release as it is",
			request.Reference)
	case len(o.packages) == 0:
		return nil, usage("no package is given")
	}
	var tickets []ticket
	for _, architecture := range o.architectures {
		for _, pkg := range o.packages {
			t := ticket{request: o.template}
			t.request.Package = pkg
			t.request.SubmitTime = now.UTC().Format(submitTime)
			if id != nil {
				t.request.ID = id()
			}
			t.queue = request.Queue{Context: t.request.Context(o.bulk), Release: o.series, Architecture: architecture}
			if err := t.prepare(); err != nil {
				return nil, &usageError{err}
			}
			tickets = append(tickets, t)
		}
	}
	return tickets, nil
}

// publish sends all tickets, or none if a queue is missing.
func (a *app) publish(ctx context.Context, tickets []ticket) error {
	broker, err := a.broker()
	if err != nil {
		return err
	}
	session, err := a.dial(ctx, broker)
	if err != nil {
		return fmt.Errorf("broker at %s: %w", broker.Address(), err)
	}
	defer func() { _ = session.Close() }() // everything sent was confirmed
	seen := map[string]bool{}
	for _, t := range tickets {
		name := t.queue.Name()
		if seen[name] {
			continue
		}
		seen[name] = true
		if _, _, err := session.Depth(ctx, name); err != nil {
			return explain(t, err)
		}
	}
	for i, t := range tickets {
		if err := session.Publish(ctx, "", t.queue.Name(), t.body, true); err != nil {
			return fmt.Errorf("%w (%d of %d requests were sent before)", explain(t, err), i, len(tickets))
		}
	}
	return nil
}

func explain(t ticket, err error) error {
	if errors.Is(err, queue.ErrNoQueue) {
		return fmt.Errorf("there is no queue %s: this cloud does not test %s on %s, or the name is misspelt; "+
			"`autopkgtest-cloud queues` lists what there is, and a release is opened in the deployment's request queues: %w",
			t.queue.Name(), t.queue.Release, t.queue.Architecture, err)
	}
	return fmt.Errorf("request for %s in %s: %w", t.request.Package, t.queue.Name(), err)
}

func (a *app) requestCommand() *cobra.Command {
	o := &order{}
	var wait bool
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "request --series RELEASE --architecture ARCH --trigger SOURCE/VERSION PACKAGE...",
		Short: "Request tests of packages, and wait for the results if asked to",
		Example: `  autopkgtest-cloud request -s bookworm -a amd64 --trigger gzip/1.12-1 --wait gzip
  autopkgtest-cloud request -s noble -a amd64 -a arm64 --trigger libpng/1.6-2 --bulk green blue`,
		Long: "Request tests of packages: one request for each package and architecture.\n\n" + exitCodeHelp,
		RunE: func(command *cobra.Command, args []string) error {
			o.packages = args
			tickets, err := o.tickets(a.now(), uuid.NewString)
			if err != nil {
				return err
			}
			if command.Flags().Changed("timeout") && !wait {
				return usage("--timeout is for --wait")
			}
			if !wait {
				if err := a.publish(command.Context(), tickets); err != nil {
					return err
				}
				return a.printTickets(tickets)
			}
			return a.requestAndWait(command.Context(), tickets, timeout)
		},
	}
	o.flags(command.Flags(), a.getenv)
	command.Flags().BoolVar(&wait, "wait", false, "show progress, wait for the results, exit with autopkgtest's code")
	command.Flags().DurationVar(&timeout, "timeout", 24*time.Hour, "wait no longer than this")
	command.Flags().StringVar(&a.credentials, "credentials", "", "request with the account in `FILE`, not the configuration's")
	command.Flags().SortFlags = false
	return command
}

// compatibleCommand is run-autopkgtest: the same flags, no output.
func (a *app) compatibleCommand() *cobra.Command {
	o := &order{}
	command := &cobra.Command{
		Use:           compatible + " -s SERIES -a ARCH --trigger SOURCE/VERSION PACKAGE...",
		Short:         "Request tests of packages",
		Long:          "Request tests of packages: one request for each package and architecture.\n\n" + ownExitCodeHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(command *cobra.Command, args []string) error {
			o.packages = args
			tickets, err := o.tickets(a.now(), nil)
			if err != nil {
				return err
			}
			return a.publish(command.Context(), tickets)
		},
	}
	o.flags(command.Flags(), a.getenv)
	command.Flags().SortFlags = false
	command.Flags().SetNormalizeFunc(unabbreviate)
	command.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	return command
}

// unabbreviate takes the beginning of a flag for the flag, as the Python tool does.
func unabbreviate(flags *pflag.FlagSet, name string) pflag.NormalizedName {
	var matches []string
	exact := false
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Name == name {
			exact = true
		} else if len(name) > 0 && len(flag.Name) > len(name) && flag.Name[:len(name)] == name {
			matches = append(matches, flag.Name)
		}
	})
	if !exact && len(matches) == 1 {
		name = matches[0]
	}
	return pflag.NormalizedName(name)
}

type printedTicket struct {
	ID           string   `json:"id"`
	Queue        string   `json:"queue"`
	Release      string   `json:"release"`
	Architecture string   `json:"architecture"`
	Package      string   `json:"package"`
	Triggers     []string `json:"triggers"`
}

// printTickets tells how the results can be found later.
func (a *app) printTickets(tickets []ticket) error {
	printed := []printedTicket{}
	for _, t := range tickets {
		printed = append(printed, printedTicket{
			t.request.ID, t.queue.Name(), t.queue.Release, t.queue.Architecture, t.request.Package, t.request.Triggers,
		})
	}
	if a.json {
		return a.printJSON(map[string]any{"requests": printed})
	}
	t := a.table("PACKAGE", "RELEASE", "ARCH", "QUEUE", "REQUEST")
	for _, p := range printed {
		t.row(p.Package, p.Release, p.Architecture, p.Queue, p.ID)
	}
	return t.flush()
}
