package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lease"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/metrics"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/run"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/systemd"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// work runs a worker until it is told to stop.
func work(ctx context.Context, from source, log *slog.Logger) error {
	loaded, err := from.load(nil, log)
	if err != nil {
		return usage(err)
	}
	conf := loaded.conf
	if warning := from.exposed(conf); warning != "" {
		log.Warn(warning)
	}
	warnOfUnknown(conf, log)
	inForce := &current{site: loaded}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	name, err := run.WorkerName(conf.StateDirectory)
	if err != nil {
		return err
	}
	options := append(from.runnerOptions(conf, inForce.tailor), testbed.WithWorker(name))
	runner, err := testbed.NewRunner(ctx, loaded.profile.Backend(), log, options...)
	if errors.Is(err, testbed.ErrExposed) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	if err := runner.Check(ctx); err != nil {
		return err
	}
	results, closeStore, err := openStore(conf, log)
	if err != nil {
		return err
	}
	defer closeStore()
	testbeds := testbed.NewGuard(runner, testbed.GuardSettings{}, log)
	counts := metrics.New(loaded.profile.Backend())
	wanted := settings(conf, inForce)
	wanted.Observer = counts
	worker, err := run.New(wanted, counts.Testbeds(tailored{run.Confined{Guard: testbeds}, inForce}), counts.Store(results), log)
	if err != nil {
		return usage(err)
	}
	counts.Watch(worker.Look, testbeds.Breakers, runner.Places)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel(nil)
	if conf.HealthListen != "" {
		checks := append(worker.Checks(), inForce.check())
		if runner.Places() != nil {
			checks = append(checks, placesCheck(runner))
		}
		answers := healthHandler(checks, counts.Handler())
		stop, err := listenHealth(ctx, conf.HealthListen, answers, log, &beside)
		if err != nil {
			return err
		}
		defer stop()
	}
	beside.Go(func() { testbeds.Watch(ctx, worker.Queues) })
	if runner.Places() != nil {
		beside.Go(func() { tend(ctx, worker, runner, lease.NewCensus(results, name, log), log) })
	}
	manager := systemd.New(log)
	beside.Go(func() { manager.Keep(ctx, service(worker)) })
	beside.Go(func() { runner.KeepAhead(ctx, run.AheadMark(conf.StateDirectory), worker.Expected) })
	// After Run has returned the signals have their usual meaning again: nothing is left that they could harm.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	beside.Go(func() { obey(ctx, cancel, signals, worker, from, inForce, manager, log) })
	return worker.Run(ctx, counts.Dialer(func(ctx context.Context) (*queue.Session, error) {
		// Read each time, and while connected: the credentials may have been changed since.
		account := func() (config.Broker, error) { return inForce.get().conf.Broker() }
		broker, err := account()
		if err != nil {
			return nil, err
		}
		return queue.Dial(ctx, broker, queue.WithLog(log), queue.WithName(connectionName()), queue.WithFollow(credentialsLook, account))
	}))
}

// credentialsLook is how often the broker's credentials are read again. Their old ones work on for some time.
const credentialsLook = 15 * time.Second

// settings is what a worker's configuration asks for.
func settings(conf config.Worker, policy run.Policy) run.Settings {
	return run.Settings{
		Queues: queues(conf), Slots: conf.Slots, SpoolLimit: conf.SpoolLimit, StateDirectory: conf.StateDirectory,
		Images: conf.Images, Timeout: conf.Timeout, DrainTimeout: conf.DrainTimeout, Policy: policy, Weights: conf.Weights,
		Limits: limits(conf),
	}
}

// queues is every context × release × architecture.
func queues(conf config.Worker) []request.Queue {
	var all []request.Queue
	for _, context := range conf.Contexts {
		for _, release := range conf.Releases {
			for _, arch := range conf.Architectures {
				all = append(all, request.Queue{Context: request.Context(context), Release: release, Architecture: arch})
			}
		}
	}
	return all
}

// connectionName is what the broker's management page shows.
func connectionName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("autopkgtest-worker %s %d", host, os.Getpid())
}

var errSecondSignal = errors.New("told to stop a second time")

// obey does what signals ask for. The first SIGTERM or SIGINT lets running tests finish, the second kills them and gives
// their requests back; SIGHUP reads the configuration again.
func obey(ctx context.Context, cancel context.CancelCauseFunc, signals <-chan os.Signal, worker *run.Worker, from source,
	inForce *current, manager *systemd.Manager, log *slog.Logger,
) {
	draining := false
	for {
		select {
		case <-ctx.Done():
			return
		case got := <-signals:
			switch {
			case got == syscall.SIGHUP:
				manager.Reload(func() { reload(worker, from, inForce, log) })
			case draining:
				log.Warn("second signal: killing running tests", "signal", got.String())
				cancel(errSecondSignal)
			default:
				log.Info("stopping after the running tests; a second signal kills them", "signal", got.String())
				draining = true
				manager.Stopping()
				worker.Drain()
			}
		}
	}
}

// reload applies a changed configuration to a running worker. One that is wrong changes nothing.
func reload(worker *run.Worker, from source, inForce *current, log *slog.Logger) {
	loaded, err := from.load(inForce.get(), log)
	if err == nil && loaded.profile.Backend() != inForce.get().profile.Backend() {
		err = fmt.Errorf("the backend is %s now: another one needs a restart", loaded.profile.Backend())
	}
	if err == nil {
		err = worker.Reconfigure(queues(loaded.conf), loaded.conf.Slots)
	}
	if err != nil {
		log.Error("the configuration was not reloaded; working on with the old one", "error", err)
		return
	}
	inForce.set(loaded)
	log.Info("configuration reloaded: queues, slots and what autopkgtest is told are in force, the broker's credentials with "+
		"the next session, the rest with the next start", "queues", len(queues(loaded.conf)), "slots", loaded.conf.Slots)
}
