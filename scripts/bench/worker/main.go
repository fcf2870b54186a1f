// Command worker measures what the worker adds to a test, against a real RabbitMQ and a real Swift, with a stub in the place
// of autopkgtest (scripts/bench/autopkgtest), in namespaces of the real kind:
//
//   - the cost of a request, from its publication to its acknowledgement and without its testbed, beside that of a bare loop
//     that consumes, stores the same objects and acknowledges. The two take turns, so that whatever else the machine does
//     meets both;
//   - how long an idle worker needs from the publication of a request until autopkgtest is started;
//   - the memory of a process with many slots.
//
// It exits with 1 if a limit is exceeded. `make bench-worker` runs it, below `stack run`.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/bench/report"
)

type options struct {
	requests, slots int
	keepLog         string
}

func main() {
	var o options
	flag.IntVar(&o.requests, "requests", 100, "requests whose cost and latency are measured")
	flag.IntVar(&o.slots, "slots", 200, "slots of the process whose memory is measured")
	flag.StringVar(&o.keepLog, "log", "", "file for the workers' logs; empty keeps none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	c, err := openCloud(ctx, o.keepLog)
	if err != nil {
		return err
	}
	defer c.close()
	var table report.Report
	if err := measureRequests(ctx, c, o.requests, &table); err != nil {
		return fmt.Errorf("measure requests: %w", err)
	}
	if err := measureMemory(ctx, c, o.slots, &table); err != nil {
		return fmt.Errorf("measure memory: %w", err)
	}
	return table.Print()
}
