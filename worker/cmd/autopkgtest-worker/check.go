package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/run"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// checkConfiguration tells what a worker with this configuration would consume and run, and tries everything that can be
// tried without taking a request. It fails when something is wrong.
func checkConfiguration(ctx context.Context, path string, out io.Writer) error {
	conf, err := loadConfiguration(path)
	if err != nil {
		return usage(err)
	}
	all := queues(conf)
	for _, q := range all {
		if err := q.Validate(); err != nil {
			return usage(fmt.Errorf("%s: %w", path, err))
		}
	}
	broker, brokerErr := config.ReadBroker(conf.BrokerCredentials)
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(table, "configuration\t%s\n", path)
	fmt.Fprintf(table, "slots\t%d tests at a time, at most %s each, %s to finish when stopped\n",
		conf.Slots, conf.Timeout, conf.DrainTimeout)
	fmt.Fprintf(table, "delivery timeout\t%s\n", describeDeliveryTimeout(conf))
	fmt.Fprintf(table, "state directory\t%s\n", conf.StateDirectory)
	fmt.Fprintf(table, "health checks\t%s\n", orNone(conf.HealthListen))
	for _, q := range all {
		fmt.Fprintf(table, "consumes\t%s\tin %s\n", q.Name(), testbed.ImagePath(conf.Images, q))
	}
	findings, ok := run.Examine(ctx, []run.Check{
		{ID: "broker", Title: "the broker accepts us, the queues exist", Check: func(ctx context.Context) error {
			return errors.Join(brokerErr, tryBroker(ctx, broker, brokerErr == nil, all))
		}},
		{ID: "store", Title: "the store accepts us", Check: func(ctx context.Context) error { return tryStore(ctx, conf) }},
		{ID: "images", Title: "the testbed images are there", Check: func(context.Context) error { return tryImages(conf, all) }},
		{ID: "testbeds", Title: "tests can be run on this machine", Check: func(ctx context.Context) error { return tryTestbeds(ctx, conf) }},
		{ID: "state", Title: "the state directory can be written", Check: func(context.Context) error { return tryState(conf) }},
	})
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
	results, err := openStore(conf.StoreCredentials)
	if err != nil {
		return err
	}
	_, err = results.Containers(ctx)
	return err
}

func tryImages(conf config.Worker, all []request.Queue) error {
	var missing []error
	var seen []string
	for _, q := range all {
		path := testbed.ImagePath(conf.Images, q)
		if slices.Contains(seen, path) {
			continue
		}
		seen = append(seen, path)
		if _, err := testbed.DescribeImage(path); err != nil {
			missing = append(missing, err)
		}
	}
	return errors.Join(missing...)
}

func tryTestbeds(ctx context.Context, conf config.Worker) error {
	runner, err := testbed.NewRunner(ctx, backend, slog.New(slog.DiscardHandler), testbed.WithCheckout(conf.CheckoutDir))
	if err != nil {
		return err
	}
	return runner.Check(ctx)
}

func tryState(conf config.Worker) error {
	if err := os.MkdirAll(conf.StateDirectory, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(conf.StateDirectory, ".check-")
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}
