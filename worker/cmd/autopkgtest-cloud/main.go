// Autopkgtest-cloud is the operator's command: it requests tests, waits for them, shows queues, running tests and results,
// and has workers end tests or put them back. Installed or linked under the name run-autopkgtest it is that tool, silent and
// with its flags.
//
// It talks to the broker to publish and to command workers; everything that it shows comes from the results site. Start
// reading at app.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := newApp().run(ctx, os.Args)
	stop()
	os.Exit(code)
}
