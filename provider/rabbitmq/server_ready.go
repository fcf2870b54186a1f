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

func (n node) awaitReady(ctx context.Context, d *host.Directory, i Info) error {
	if n.Cluster != nil {
		return n.awaitMember(ctx, d, i)
	}
	return d.WaitReady(ctx, "the broker", "rabbitmq", startLimit, func(ctx context.Context) error { return answers(ctx, i) })
}

func answers(ctx context.Context, i Info) error {
	if err := answersHTTP(ctx, i.ManagementURL); err != nil {
		return err
	}
	// Opened last, after the definitions have been loaded.
	return answersAMQP(ctx, net.JoinHostPort(i.Host, fmt.Sprint(i.Port)))
}

// ensureCertificate has a node that runs show the certificate that lies in its folder, without a restart. It keeps those that it
// has read for two minutes.
func ensureCertificate(ctx context.Context, d *host.Directory, n node, i Info) error {
	if i.AMQPS == "" || answersTLS(ctx, d, i, n) == nil {
		return nil
	}
	if err := retry(ctx, administratorLimit, func(ctx context.Context) error {
		_, err := control(ctx, d, n, nil, "eval", "ssl:clear_pem_cache().")
		return err
	}); err != nil {
		return fmt.Errorf("have the broker read its certificate: %w", err)
	}
	return d.WaitReady(ctx, "the broker's TLS", "rabbitmq", administratorLimit, func(ctx context.Context) error {
		return answersTLS(ctx, d, i, n)
	})
}

// answersTLS says whether the node shows the certificate that lies in its folder, wherever it speaks TLS.
func answersTLS(ctx context.Context, d *host.Directory, i Info, n node) error {
	certificate, err := d.ReadFile(serviceFile(certificateFile))
	if err != nil {
		return err
	}
	all := []string{i.AMQPS}
	if n.SecureManagement != nil {
		all = append(all, endpoint{reachable(d, n.SecureManagement.address), n.SecureManagement.port}.String())
	}
	for _, address := range all {
		if err := presents(ctx, address, certificate); err != nil {
			return err
		}
	}
	return nil
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
