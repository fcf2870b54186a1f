// Command chaos breaks everything around the worker, and the worker itself, and then looks whether a request was lost.
//
// A round has the real worker program, a few of them, against a real RabbitMQ and a real Swift, which `stack run` starts in a
// folder of their own. Between them stand proxies that can fail; in the place of autopkgtest stands a stub, called what it is
// (scripts/chaos/autopkgtest), so that a round of some hundred requests takes minutes. Which requests come when, how their
// tests end, and what breaks when, is made from a seed (package plan); the seed is printed, and gives the same plan again.
// After the round the checker (package check) looks from outside at what is left.
//
//	make chaos            20 rounds of 500 requests
//	make chaos-short      one round of 100, and one with a worker that acknowledges too early, which must be found out
//	make chaos CHAOS_SEED=1234 CHAOS_ROUNDS=1
//
// It needs root, for disks that fill up and for the processes of other accounts. Start reading at round.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/chaos/check"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/chaos/plan"
)

type options struct {
	plan.Options
	seed    uint64
	rounds  int
	slots   int
	settle  time.Duration
	late    time.Duration
	prove   bool
	early   bool // the round is for the proof
	verbose bool
	logs    string
}

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", mathrand.Uint64N(1_000_000), "seed of the first round; the next ones count up")
	flag.IntVar(&o.rounds, "rounds", 1, "rounds")
	flag.IntVar(&o.Requests, "requests", 100, "requests in a round")
	flag.IntVar(&o.Machines, "workers", 3, "worker processes")
	flag.IntVar(&o.slots, "slots", 5, "slots of each")
	flag.DurationVar(&o.Storm, "storm", 75*time.Second, "how long things break")
	flag.IntVar(&o.Faults, "faults", 30, "faults in a round, at least")
	flag.BoolVar(&o.Wipe, "wipe", false, "a killed worker may lose its disk as well")
	flag.DurationVar(&o.settle, "settle", 4*time.Minute, "how long the workers may take after the storm")
	flag.DurationVar(&o.late, "late", 30*time.Second, "how long the store's listings may be late")
	flag.BoolVar(&o.prove, "prove", false, "first prove the checker: workers that acknowledge what they get must be found out")
	flag.BoolVar(&o.verbose, "v", false, "tell each fault when it happens")
	flag.StringVar(&o.logs, "logs", "build/log/chaos", "where what is known of a failed round is kept")
	flag.Parse()
	if err := ownMounts(); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	s, err := openStack()
	if err != nil {
		return err
	}
	// Below the stack's folder: whoever removes that, removes all of this, and ends its processes by their mark.
	folder := s.directory.Path("chaos")
	if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	built := filepath.Join(folder, "programs")
	if err := os.RemoveAll(built); err != nil {
		return err
	}
	if err := os.Mkdir(built, 0o755); err != nil {
		return err
	}
	p, err := buildPrograms(ctx, built)
	if err != nil {
		return err
	}
	if o.prove {
		if err := one(ctx, o.proof(), s, p, 0, o.seed, folder); err != nil {
			return fmt.Errorf("the proof of the checker: %w", err)
		}
	}
	var failed []string
	for n := range o.rounds {
		seed := o.seed + uint64(n)
		err := one(ctx, o, s, p, n, seed, folder)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			fmt.Printf("seed %d: FAILED: %v\n", seed, err)
			failed = append(failed, fmt.Sprint(seed))
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d rounds failed, with the seeds %s; -seed replays one", len(failed), o.rounds, strings.Join(failed, " "))
	}
	return nil
}

// proof are the options of the round that proves the checker: a small one, with nothing but kills. What those leave for
// requests that nobody will ever get again is not waited for.
func (o options) proof() options {
	o.Options = plan.Options{Requests: 12, Machines: 2, Storm: 12 * time.Second}
	o.early, o.slots, o.settle, o.late = true, 4, 15*time.Second, time.Second
	return o
}

var errProblems = errors.New("something was lost, doubled or left")

// one is one round, from its folder to its report.
func one(ctx context.Context, o options, s *stack, p programs, number int, seed uint64, within string) (err error) {
	r := &round{
		options: o, stack: s, programs: p, release: fmt.Sprintf("chaos%03d", number), began: time.Now(),
		counts: map[string]int{}, killed: map[string]int{},
		watch: newWatch(),
	}
	r.plan = plan.New(seed, o.Options)
	if o.early {
		r.release = fmt.Sprintf("early%03d", number)
		r.plan = plan.EarlyAck(seed, o.Options)
	}
	r.folder = filepath.Join(within, r.release)
	if err := os.Mkdir(r.folder, 0o755); err != nil {
		return err
	}
	events, err := os.Create(filepath.Join(r.folder, "events"))
	if err != nil {
		return err
	}
	defer func() { _ = events.Close() }()
	r.events = events
	if o.verbose {
		r.events = io.MultiWriter(events, os.Stdout)
	}
	fmt.Printf("seed %d: %d requests, %d faults in %s, %d workers with %d slots\n", seed, len(r.plan.Requests), len(r.plan.Faults),
		o.Storm, o.Machines, o.slots)
	defer func() {
		if err != nil && !errors.Is(err, context.Canceled) {
			err = errors.Join(err, r.keep(filepath.Join(o.logs, fmt.Sprintf("seed-%d", seed))))
		}
		clearing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, r.clear(clearing))
	}()
	if err := r.prepare(ctx); err != nil {
		return err
	}
	r.began = time.Now()
	problems, err := r.run(ctx)
	if err != nil {
		return err
	}
	r.report(problems)
	if o.early {
		return r.foundOut(problems)
	}
	if len(problems) > 0 {
		return errProblems
	}
	return nil
}

// foundOut is what the checker must say of workers that acknowledge too early.
func (r *round) foundOut(problems []check.Problem) error {
	if !slices.ContainsFunc(problems, func(p check.Problem) bool { return p.Kind == check.Lost }) {
		return errors.New("workers that acknowledge too early were killed, and the checker misses no request: it is of no use")
	}
	fmt.Println("  as it must be: the checker has found out the workers that acknowledge too early")
	return nil
}

// report prints what the round was and what is wrong.
func (r *round) report(problems []check.Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Printf("  %s: %d requests, %d of them published in more than one try; %d results, %d completion messages\n",
		time.Since(r.began).Round(time.Second), r.counts["requests"], r.gatekeeper.again, r.counts["results"],
		r.counts["completion messages"])
	var kills []string
	for _, state := range plan.States {
		kills = append(kills, fmt.Sprintf("%s %d", state, r.counts["killed at "+state]))
	}
	starts := 0
	for _, m := range r.machines {
		starts += m.starts
	}
	fmt.Printf("  workers started %d times, killed at: %s; tests killed %d, namespaces or networks %d\n", starts, strings.Join(kills, ", "),
		r.counts[string(plan.KillTest)], r.counts[string(plan.KillRun)])
	fmt.Printf("  the store's faults met %s\n", r.storefront.met())
	for _, text := range slices.Sorted(maps.Keys(r.watch.errors)) {
		fmt.Printf("  the workers complained %d times: %s\n", r.watch.errors[text], text)
	}
	const most = 25
	for i, p := range problems {
		if i == most {
			fmt.Printf("  … and %d more\n", len(problems)-most)
			break
		}
		fmt.Printf("  PROBLEM %s\n", p)
	}
}

// keep saves the logs of a failed round.
func (r *round) keep(to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	files := map[string]string{filepath.Join(r.folder, "events"): "events"}
	for _, m := range r.machines {
		files[m.path("log")] = filepath.Base(m.folder) + ".log"
	}
	for from, name := range files {
		content, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), content, 0o644)
		}
		if err != nil {
			return err
		}
	}
	fmt.Printf("  what is known of it: %s\n", to)
	return nil
}
