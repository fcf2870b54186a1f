// Command queues measures what it takes to look at request queues with 100,000 requests in them, against a real RabbitMQ and
// the real collector: the operator's command, and what the data source autopkgtest_queues asks of the broker. Beside them
// stands what a bare client needs to ask for as many lengths. Nothing may have touched a request in the end.
//
// It exits with 1 if a limit is exceeded. `make bench-queues` runs it, below `stack run`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/bench/report"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// lookLimit is the promise.
const lookLimit = time.Second

// looks is how often each figure is taken; the longest counts.
const looks = 5

// cacheAge is a little more than the time for which the site answers from what it knows.
const cacheAge = 3200 * time.Millisecond

type bench struct {
	management *management.Client
	admin      config.Broker
	folder     string
	programs   string
	names      []string
	releases   []string
}

var architectures = []string{"amd64", "amd64v3", "arm64", "armhf", "i386", "ppc64el", "riscv64", "s390x"}

func main() {
	requests := flag.Int("requests", 100_000, "requests that stand in the queues")
	programs := flag.String("programs", "", "folder with autopkgtest-cloud and autopkgtest-collector")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, *requests, *programs); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, requests int, programs string) error {
	b, err := open(programs)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.folder) }()
	if err := b.management.DeclareQueues(ctx, b.names); err != nil {
		return err
	}
	begin := time.Now()
	if err := b.publish(ctx, requests); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d requests published within %s\n", requests, time.Since(begin).Round(time.Second))
	stop, command, err := b.startSite(ctx)
	if err != nil {
		return err
	}
	defer stop()
	var table report.Report
	if err := b.measure(ctx, command, requests, &table); err != nil {
		return err
	}
	if err := b.untouched(ctx, requests); err != nil {
		return err
	}
	table.Note("requests that were touched", "0")
	return table.Print()
}

func open(programs string) (*bench, error) {
	b := &bench{programs: programs}
	uri, endpoint := os.Getenv("AUTOPKGTEST_TEST_AMQP"), os.Getenv("AUTOPKGTEST_TEST_MANAGEMENT")
	if uri == "" || endpoint == "" {
		return nil, errors.New("there is no broker in the environment: run it with make bench-queues")
	}
	var err error
	if b.admin, err = config.ParseBroker(uri); err != nil {
		return nil, err
	}
	address, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	b.management, err = management.New(address.Scheme+"://"+address.Host, b.admin.Username, b.admin.Password)
	if err != nil {
		return nil, err
	}
	for n := range 8 {
		b.releases = append(b.releases, fmt.Sprintf("bench%d", n))
	}
	for _, context := range request.Contexts {
		for _, release := range b.releases {
			for _, architecture := range architectures {
				b.names = append(b.names, request.Queue{Context: context, Release: release, Architecture: architecture}.Name())
			}
		}
	}
	b.folder, err = os.MkdirTemp("", "bench-queues-")
	return b, err
}

// publish spreads the requests over the queues, from several clients that wait for their confirms.
func (b *bench) publish(ctx context.Context, requests int) error {
	const clients, unconfirmed = 4, 500
	group, ctx := errgroup.WithContext(ctx)
	for client := range clients {
		group.Go(func() error {
			connection, err := amqp.Dial(b.admin.URI().Reveal())
			if err != nil {
				return err
			}
			defer func() { _ = connection.Close() }()
			channel, err := connection.Channel()
			if err != nil {
				return err
			}
			if err := channel.Confirm(false); err != nil {
				return err
			}
			var last *amqp.DeferredConfirmation
			for n := client; n < requests; n += clients {
				body := fmt.Appendf(nil, "green\n{\"triggers\": [\"green/2.0-%d\"], \"submit-time\": \"2026-11-22 01:21:27\"}", n)
				last, err = channel.PublishWithDeferredConfirmWithContext(ctx, "", b.names[n%len(b.names)], false, false,
					amqp.Publishing{Body: body, DeliveryMode: amqp.Persistent})
				if err != nil {
					return err
				}
				if n/clients%unconfirmed == 0 {
					if _, err := last.WaitContext(ctx); err != nil {
						return err
					}
				}
			}
			if last == nil {
				return nil
			}
			_, err = last.WaitContext(ctx)
			return err
		})
	}
	return group.Wait()
}

// startSite starts the collector, and returns the operator's command line.
func (b *bench) startSite(ctx context.Context) (stop func(), command []string, err error) {
	account, err := config.ReadStore(os.Getenv("AUTOPKGTEST_TEST_SWIFT"))
	if err != nil {
		return nil, nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, nil, err
	}
	site := "http://" + address
	path := func(name string) string { return filepath.Join(b.folder, name) }
	conf := config.Collector{
		BrokerCredentials: path("amqp"), StoreURL: account.StorageURL, Releases: b.releases, Architectures: architectures,
		Listen: address, Database: path("autopkgtest.db"), ExternalURL: site,
	}
	for name, content := range map[string][]byte{
		"amqp": b.admin.File(config.KeyURI), "collector.conf": conf.Bytes(), "cloud.conf": config.Operator{WebURL: site}.Bytes(),
	} {
		if err := os.WriteFile(path(name), content, 0o600); err != nil {
			return nil, nil, err
		}
	}
	collector := exec.CommandContext(ctx, filepath.Join(b.programs, "autopkgtest-collector"), "--config", path("collector.conf"))
	collector.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := collector.Start(); err != nil {
		return nil, nil, err
	}
	stop = func() {
		_ = collector.Process.Signal(syscall.SIGTERM)
		_ = collector.Wait()
	}
	if err := awaitReady(ctx, site); err != nil {
		stop()
		return nil, nil, err
	}
	return stop, []string{filepath.Join(b.programs, "autopkgtest-cloud"), "--config", path("cloud.conf"), "queues"}, nil
}

// readyLimit is for a collector on a busy machine.
const readyLimit = time.Minute

func awaitReady(ctx context.Context, site string) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	for {
		question, err := http.NewRequestWithContext(ctx, http.MethodGet, site+"/readyz", nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(question)
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(answer.Status)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the collector is not ready within %s: %w", readyLimit, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (b *bench) measure(ctx context.Context, command []string, requests int, table *report.Report) error {
	asked := fmt.Sprintf("%d queues with %d requests", len(b.names), requests)
	var cold, warm, source, bare time.Duration
	for range looks {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(cacheAge):
		}
		for _, figure := range []*time.Duration{&cold, &warm} {
			took, err := b.list(ctx, command)
			if err != nil {
				return err
			}
			*figure = max(*figure, took)
		}
		begin := time.Now()
		loads, err := b.management.QueueLoads(ctx)
		if err != nil {
			return err
		}
		source = max(source, time.Since(begin))
		if len(loads) < len(b.names) {
			return fmt.Errorf("%d queues, want %d", len(loads), len(b.names))
		}
		took, err := b.bare()
		if err != nil {
			return err
		}
		bare = max(bare, took)
	}
	// On a machine that is so busy that a bare client takes most of the time, that is what counts.
	limit := max(lookLimit, 2*bare)
	table.Duration("autopkgtest-cloud queues, "+asked+", slowest of 5", cold, limit)
	table.Duration("the same within three seconds, from the site's memory", warm, limit)
	table.Duration("what the data source autopkgtest_queues asks", source, limit)
	table.Note("a bare client that asks for as many lengths", bare.Round(time.Millisecond).String())
	return nil
}

// list runs the operator's command.
func (b *bench) list(ctx context.Context, command []string) (time.Duration, error) {
	begin := time.Now()
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	took := time.Since(begin)
	if err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, out)
	}
	if lines := strings.Count(string(out), "\n"); lines != len(b.names)+1 {
		return 0, fmt.Errorf("%d lines, want one for each of %d queues:\n%s", lines, len(b.names), out)
	}
	return took, nil
}

// bare asks for every queue's length over AMQP.
func (b *bench) bare() (time.Duration, error) {
	connection, err := amqp.Dial(b.admin.URI().Reveal())
	if err != nil {
		return 0, err
	}
	defer func() { _ = connection.Close() }()
	channel, err := connection.Channel()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	for _, name := range b.names {
		if _, err := channel.QueueDeclarePassive(name, true, false, false, false, nil); err != nil {
			return 0, err
		}
	}
	return time.Since(begin), nil
}

// untouched takes the first request of each queue: none was delivered before, and none is missing.
func (b *bench) untouched(ctx context.Context, requests int) error {
	queues, err := b.management.Queues(ctx)
	if err != nil {
		return err
	}
	total := 0
	for _, name := range b.names {
		total += queues[name].Messages
		if queues[name].Running != 0 {
			return fmt.Errorf("%s: somebody holds %d requests", name, queues[name].Running)
		}
	}
	if total != requests {
		return fmt.Errorf("%d requests in the end, want %d", total, requests)
	}
	connection, err := amqp.Dial(b.admin.URI().Reveal())
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close() }()
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	for _, name := range b.names {
		delivery, found, err := channel.Get(name, false)
		if err != nil {
			return err
		}
		if found && delivery.Redelivered {
			return fmt.Errorf("%s: the first request was delivered before", name)
		}
	}
	return nil
}
