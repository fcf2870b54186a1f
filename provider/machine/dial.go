package machine

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

const (
	// loginLimit bounds one attempt: the connection, the handshake and the login.
	loginLimit = 15 * time.Second
	// dialPause is between two attempts at a machine that does not answer yet.
	dialPause = time.Second
)

// dial connects. A machine that does not answer is tried again until ctx ends or for as long as the patience is: it may be
// booting. What it answers does not get better with time.
func (p *Pool) dial(ctx context.Context, t Target, patience time.Duration) (*ssh.Client, error) {
	deadline := time.Now().Add(patience)
	for {
		client, err := p.login(ctx, t)
		if err == nil || !errors.Is(err, ErrUnreachable) {
			return client, err
		}
		if time.Now().Add(dialPause).After(deadline) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(dialPause):
		}
	}
}

func (p *Pool) login(ctx context.Context, t Target) (*ssh.Client, error) {
	believed, err := p.trust(t)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, loginLimit)
	defer cancel()
	ring, err := p.keys(ctx, t)
	if err != nil {
		return nil, err
	}
	defer ring.Close()
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", t.dial())
	if err != nil {
		return nil, t.unreachable(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = connection.Close() })
	shaken, channels, requests, err := ssh.NewClientConn(connection, t.dial(), &ssh.ClientConfig{
		User:              t.filled().User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(ring.signers...)},
		HostKeyCallback:   believed.check,
		HostKeyAlgorithms: believed.algorithms,
	})
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = connection.Close()
		return nil, t.loginProblem(err, ring)
	}
	return ssh.NewClient(shaken, channels, requests), nil
}

// loginProblem says why a login failed. The library has texts only.
func (t Target) loginProblem(err error, ring *keyring) error {
	var known *host.Problem
	switch {
	case errors.As(err, &known):
		return known
	case strings.Contains(err.Error(), "unable to authenticate"):
		tried := "none was found"
		if len(ring.tried) > 0 {
			tried = "tried were " + strings.Join(ring.tried, ", ")
		}
		return t.problem(ErrDenied, "accepts no key of yours for the user "+t.filled().User+": "+tried, nil,
			"Put the public key into that user's ~/.ssh/authorized_keys, or name another user or identity_file")
	case strings.Contains(err.Error(), "no common algorithm for host key"):
		return t.problem(ErrHostKey, "has no key of the kind that is known of it", err,
			"If the machine was installed anew, learn its new key")
	}
	return t.unreachable(err)
}
