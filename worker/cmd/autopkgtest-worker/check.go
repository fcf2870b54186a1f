package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/run"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// checkConfiguration tells what a worker with this configuration would consume and run, and tries everything that can be
// tried without taking a request. With a request it also tells what would be executed for it. It fails when something is
// wrong.
func checkConfiguration(ctx context.Context, from source, requestFile string, in io.Reader, out io.Writer) error {
	quiet := slog.New(slog.DiscardHandler)
	loaded, err := from.load(nil, quiet)
	if err != nil {
		return usage(err)
	}
	conf := loaded.conf
	all := queues(conf)
	var asked *request.Request
	if requestFile != "" {
		if asked, err = readRequest(requestFile, in); err != nil {
			return usage(err)
		}
	}
	broker, brokerErr := conf.Broker()
	runner, runnerErr := testbed.NewRunner(ctx, loaded.profile.Backend(), quiet, from.runnerOptions(conf, loaded.tailor)...)
	// Before anything is said: the trial of the testbeds settles which way out they have.
	findings, ok := run.Examine(ctx, []run.Check{
		{ID: "broker", Title: "the broker accepts us, the queues exist", Check: func(ctx context.Context) error {
			return errors.Join(brokerErr, tryBroker(ctx, broker, brokerErr == nil, all))
		}},
		{ID: "store", Title: "the store accepts us", Check: func(ctx context.Context) error { return tryStore(ctx, conf) }},
		{ID: "images", Title: "the testbed images are there", Check: func(context.Context) error { return tryImages(loaded, all) }},
		{ID: "testbeds", Title: "tests can be run on this machine", Check: func(ctx context.Context) error {
			if runnerErr != nil {
				return runnerErr
			}
			return runner.Check(ctx)
		}},
		{ID: "regions", Title: "what testbeds are made from is there", Check: func(ctx context.Context) error {
			if runner == nil { // why is said above
				return nil
			}
			return runner.Try(ctx, argumentsOf(loaded, all))
		}},
		{ID: "lists", Title: "the lists of packages can be read", Check: loaded.checkLists},
		{ID: "state", Title: "the state directory can be written", Check: func(context.Context) error { return tryState(conf) }},
	})
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(table, "configuration\t%s\n", from.path)
	if warning := from.exposed(conf); warning != "" {
		fmt.Fprintf(table, "warning\t%s\n", warning)
	}
	fmt.Fprintf(table, "slots\t%d tests at a time, at most %s each, %s to finish when stopped\n",
		conf.Slots, conf.Timeout, conf.DrainTimeout)
	fmt.Fprintf(table, "delivery timeout\t%s\n", describeDeliveryTimeout(conf))
	fmt.Fprintf(table, "state directory\t%s\n", conf.StateDirectory)
	if runnerErr == nil {
		fmt.Fprintf(table, "tests' network\t%s\n", runner.WayOut())
	}
	fmt.Fprintf(table, "health checks\t%s\n", orNone(conf.HealthListen))
	describeRuns(table, loaded)
	for _, q := range all {
		fmt.Fprintf(table, "consumes\t%s\t%s\n", q.Name(), describeQueue(loaded, q))
	}
	if asked != nil {
		describeRequest(table, loaded, runner, runnerErr, *asked)
	}
	for _, f := range findings {
		word := "ok"
		if !f.OK {
			word = "WRONG"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", word, f.Title, strings.ReplaceAll(f.Reason, "\n", "; "))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if !ok {
		return errors.New("the worker could not do its work; see above")
	}
	return nil
}

// argumentsOf are those of all testbeds that the operator's configuration may ask for, each once.
func argumentsOf(s *site, all []request.Queue) (arguments [][]string) {
	for _, q := range all {
		for _, big := range []bool{false, true} {
			words := s.profile.Apply(testbed.Job{Queue: q}, testbed.Traits{Big: big}).BackendArguments
			if !slices.ContainsFunc(arguments, func(other []string) bool { return slices.Equal(other, words) }) {
				arguments = append(arguments, words)
			}
		}
	}
	return arguments
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func tryBroker(ctx context.Context, broker config.Broker, known bool, all []request.Queue) (err error) {
	if !known {
		return nil
	}
	session, err := queue.Dial(ctx, broker, queue.WithName(connectionName()+" (check)"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	if err := session.DeclareExchanges(ctx); err != nil {
		return err
	}
	for _, q := range all {
		if _, _, err := session.Depth(ctx, q.Name()); err != nil {
			return err
		}
	}
	return nil
}

func tryStore(ctx context.Context, conf config.Worker) error {
	if _, local, err := conf.Store(); local || err != nil {
		return err // a folder in the state directory is tried with that
	}
	results, closeStore, err := openStore(conf, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer closeStore()
	_, err = results.Containers(ctx)
	return err
}

// tryImages looks for the images of queues whose backend takes them from our folder.
func tryImages(s *site, all []request.Queue) error {
	var missing []error
	var seen []string
	for _, q := range all {
		path := testbed.ImagePath(s.conf.Images, q)
		if s.profile.BackendArguments(q) != nil || slices.Contains(seen, path) {
			continue
		}
		seen = append(seen, path)
		if _, err := testbed.DescribeImage(path); err != nil {
			missing = append(missing, err)
		}
	}
	return errors.Join(missing...)
}

// tryState tries to write into the state directory. One that is not there is not made: a check may be run by another account
// than the worker, which could then not use it.
func tryState(conf config.Worker) error {
	folder := conf.StateDirectory
	for {
		info, err := os.Stat(folder)
		switch {
		case errors.Is(err, fs.ErrNotExist) && folder != filepath.Dir(folder):
			folder = filepath.Dir(folder)
			continue
		case err != nil:
			return err
		case !info.IsDir():
			return fmt.Errorf("%s is not a directory", folder)
		case folder != conf.StateDirectory:
			if err := unix.Access(folder, unix.W_OK|unix.X_OK); err != nil {
				return fmt.Errorf("%s does not exist and cannot be made: %s: %w", conf.StateDirectory, folder, err)
			}
			return nil
		}
		file, err := os.CreateTemp(folder, ".check-")
		if err != nil {
			return err
		}
		return errors.Join(file.Close(), os.Remove(file.Name()))
	}
}
