package swift

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// callTimeout bounds one call. Everything here answers from memory.
const callTimeout = 5 * time.Second

// client never uses a proxy: all of it is on this machine.
var client = &http.Client{Timeout: callTimeout, Transport: &http.Transport{DisableKeepAlives: true}}

// probe is one thing that must answer before the store serves.
type probe struct {
	what    string
	process string
	check   func(context.Context) error
}

// probes ask each server in turn, and last what only all of them and memcached together can answer.
func probes(p place) []probe {
	server := func(name, address string) probe {
		url := "http://" + address + "/healthcheck"
		return probe{"Swift's " + name + " server", "swift-" + name, func(ctx context.Context) error {
			return expect(ctx, url, nil, http.StatusOK)
		}}
	}
	return []probe{
		server("account", inside(p.Ports.Account)),
		server("container", inside(p.Ports.Container)),
		server("object", inside(p.Ports.Object)),
		server("proxy", p.proxy()),
		{"the login of " + Username, "swift-proxy", func(ctx context.Context) error {
			_, err := logIn(ctx, p.credentials())
			return err
		}},
	}
}

// awaitReady has one limit for all: they were started together.
func awaitReady(ctx context.Context, d *host.Directory, p place) error {
	end := time.Now().Add(startLimit)
	for _, probe := range probes(p) {
		limit := max(time.Until(end), callTimeout)
		if err := d.WaitReady(ctx, probe.what, probe.process, limit, probe.check); err != nil {
			return err
		}
	}
	return nil
}

// health is the first thing that does not answer; nil if the store serves.
func health(ctx context.Context, p place) error {
	for _, probe := range probes(p) {
		if err := probe.check(ctx); err != nil {
			return fmt.Errorf("%s: %w", probe.what, err)
		}
	}
	return nil
}

// logIn logs in as a client does, and looks at its account. It returns the token.
func logIn(ctx context.Context, c config.Store) (string, error) {
	header := http.Header{"X-Auth-User": {c.Username}, "X-Auth-Key": {c.Password.Reveal()}}
	answer, err := call(ctx, c.AuthURL, header)
	if err != nil {
		return "", err
	}
	token := answer.header.Get("X-Auth-Token")
	if answer.code != http.StatusOK || token == "" {
		return "", fmt.Errorf("GET %s answers %s", c.AuthURL, answer.status)
	}
	header = http.Header{"X-Auth-Token": {token}}
	return token, expect(ctx, c.StorageURL+"?limit=1", header, http.StatusOK, http.StatusNoContent)
}

func expect(ctx context.Context, url string, header http.Header, statuses ...int) error {
	answer, err := call(ctx, url, header)
	if err != nil {
		return err
	}
	for _, status := range statuses {
		if answer.code == status {
			return nil
		}
	}
	return fmt.Errorf("GET %s answers %s", url, answer.status)
}

// answer is what matters of an HTTP answer once its body has been read and closed.
type answer struct {
	code   int
	status string
	header http.Header
}

// call gets an address, and reads the body so that the connection can be used again.
func call(ctx context.Context, url string, header http.Header) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	request.Header = header.Clone()
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20)); err != nil {
		return answer{}, fmt.Errorf("GET %s: %w", url, err)
	}
	return answer{response.StatusCode, response.Status, response.Header}, nil
}
