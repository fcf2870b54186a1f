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

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/run"
)

// healthHandler is all that the health listener answers: whether the process lives, whether it is of use, what it counts.
func healthHandler(checks []run.Check, counts http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", run.Handler(checks))
	mux.Handle("GET /metrics", counts)
	return mux
}

// listenHealth answers health checks until stop is called.
func listenHealth(ctx context.Context, address string, answers http.Handler, log *slog.Logger, owner *sync.WaitGroup,
) (stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for health checks ([health] listen): %w", err)
	}
	server := &http.Server{
		Handler: answers, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	owner.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("health checks are no longer answered", "error", err)
		}
	})
	return func() { _ = server.Close() }, nil
}
