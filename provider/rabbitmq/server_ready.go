package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

const (
	// startLimit is generous: a node needs six seconds on an idle machine of two cores, and some more to recover
	// full queues after a crash.
	startLimit = 3 * time.Minute
	// administratorLimit bounds the wait for rabbitmqctl to be accepted, and again for definitions that the node imports
	// in the background.
	administratorLimit = 30 * time.Second
	retryPause         = 100 * time.Millisecond
	// answerLimit bounds one probe. The node answers all of them from memory.
	answerLimit = 5 * time.Second
)

func awaitReady(ctx context.Context, d *host.Directory, i Info) error {
	return d.WaitReady(ctx, "the broker", "rabbitmq", startLimit, func(ctx context.Context) error {
		if err := answersHTTP(ctx, i.ManagementURL); err != nil {
			return err
		}
		// Opened last, after the definitions have been loaded.
		return answersAMQP(ctx, net.JoinHostPort(i.Host, fmt.Sprint(i.Port)))
	})
}

var probeClient = &http.Client{Timeout: answerLimit, Transport: &http.Transport{DisableKeepAlives: true}}

// answersHTTP says whether the management API is there: without credentials it says 401.
func answersHTTP(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/api/whoami", nil)
	if err != nil {
		return err
	}
	answer, err := probeClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusUnauthorized {
		return fmt.Errorf("GET %s/api/whoami answers %s", address, answer.Status)
	}
	return nil
}

// answersAMQP says whether a broker speaks AMQP there: it answers the protocol's header with a frame of type 1, method.
func answersAMQP(ctx context.Context, address string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, connection.Close()) }()
	deadline, _ := ctx.Deadline()
	if err := connection.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := connection.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return err
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(connection, first); err != nil {
		return fmt.Errorf("%s does not answer AMQP: %w", address, err)
	}
	if first[0] != 1 {
		return fmt.Errorf("%s answers AMQP with a frame of type %d", address, first[0])
	}
	return nil
}
