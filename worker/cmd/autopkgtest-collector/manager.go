package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/index"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/systemd"
)

// service is what the service manager is told of a collector, whose start is over as soon as it answers: it shows what the index
// knows, whatever becomes of broker and store.
func service(address net.Addr, listing func() index.State, broker func() error) systemd.Service {
	return systemd.Service{
		Words: func() string { return inWords(listing(), broker()) },
		Alive: func(ctx context.Context) error { return askHealth(ctx, "http://"+address.String()+"/healthz") },
	}
}

// inWords is what a collector does and misses, in one line.
func inWords(listing index.State, broker error) string {
	var parts []string
	switch {
	case listing.Err != nil:
		parts = append(parts, "the store cannot be listed")
	case listing.Passes == 0:
		parts = append(parts, fmt.Sprintf("the index is being built, %d results so far", listing.Found))
	default:
		parts = append(parts, "the index is complete")
	}
	if broker != nil {
		parts = append(parts, "no session with the broker")
	}
	return strings.Join(parts, "; ")
}

// askHealth asks this process, as a browser would.
func askHealth(ctx context.Context, url string) error {
	question, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(question)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, answer.Status)
	}
	return nil
}
