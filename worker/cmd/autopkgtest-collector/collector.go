package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/index"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/site"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/systemd"
)

// collect runs a collector until the context ends. It owns four goroutines, and returns after all of them: the web server,
// the lister of the store, and one for each of the queues that it listens to.
func collect(ctx context.Context, path string, listEvery time.Duration, log *slog.Logger) error {
	conf, err := config.LoadCollector(path)
	if err != nil {
		return usage(err)
	}
	requests, err := requestQueues(conf)
	if err != nil {
		return usage(err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", conf.Listen)
	if err != nil {
		return fmt.Errorf("listen for browsers ([web] listen in %s; another process may have the port): %w", path, err)
	}
	defer func() { _ = listener.Close() }() // without effect after the server has closed it
	x, err := index.Open(ctx, conf.Database, log)
	if errors.Is(err, index.ErrLocked) {
		err = fmt.Errorf("%w; is a second collector running with the same [web] database?", err)
	}
	if err != nil {
		return err
	}
	lister := index.NewLister(x, swift.Anonymous(conf.StoreURL), conf.Releases, log)
	lister.Every = listEvery
	err = serve(ctx, conf, requests, lister, listener, log)
	return errors.Join(err, x.Close())
}

// serve does the work, with everything opened.
func serve(ctx context.Context, conf config.Collector, requests []requestQueue, lister *index.Lister,
	listener net.Listener, log *slog.Logger,
) error {
	running := site.NewRunning(time.Now)
	believed := hintHandler{lister, log}
	hints := &subscription{
		listener: queue.CompletionListener, parallel: 4,
		handle:      func(ctx context.Context, d queue.Delivery) error { return believed.handle(ctx, d.Body) },
		credentials: conf.BrokerCredentials, log: log,
	}
	statuses := &subscription{
		listener: queue.StatusListener, parallel: 1,
		handle:      func(_ context.Context, d queue.Delivery) error { return updateRunning(running, d) },
		credentials: conf.BrokerCredentials, log: log,
	}
	broker := func() error { return errors.Join(hints.state(), statuses.state()) }
	pages, err := site.New(site.Config{
		Index: lister.Index, Store: lister.Store, StoreURL: conf.StoreURL, Releases: conf.Releases, Architectures: conf.Architectures,
		ExternalURL: conf.ExternalURL, Running: running, Listing: lister.State,
		Depths: site.NewCachedDepths(depthsOf(requests, statuses), time.Now),
		Broker: broker,
		Log:    log,
	})
	if err != nil {
		return usage(err)
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { hints.run(ctx) })
	all.Go(func() { statuses.run(ctx) })
	all.Go(func() { lister.Run(ctx) })
	all.Go(func() { cancel(answer(ctx, listener, pages, log)) })
	manager := systemd.New(log)
	all.Go(func() { manager.Keep(ctx, service(listener.Addr(), lister.State, broker)) })
	log.Info("serving", "address", listener.Addr().String(), "url", conf.ExternalURL, "database", conf.Database)
	<-ctx.Done()
	manager.Stopping()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	log.Info("stopping")
	return nil
}

// stopTime is how long answers that are under way may take when the collector is told to stop.
const stopTime = 5 * time.Second

// answer serves HTTP until the context ends.
func answer(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second, // the site sets its own, longer one where an answer may take longer
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		if err := server.Shutdown(shutdown); err != nil {
			_ = server.Close() // whoever still reads had his time
		}
	}()
	err := server.Serve(listener)
	if errors.Is(err, http.ErrServerClosed) {
		<-stopped
		return nil
	}
	return fmt.Errorf("serve HTTP: %w", err)
}
