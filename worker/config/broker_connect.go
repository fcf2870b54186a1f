package config

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// Connect opens the connection on which AMQP is spoken. Over TLS (1.2 or later) it believes only who shows a valid certificate
// for the account's host, from the authority in CAFile or, without one, from those that this machine knows.
func (b Broker) Connect(ctx context.Context) (net.Conn, error) {
	return b.ConnectBy(ctx, new(net.Dialer).DialContext)
}

// Dial makes connections, as [net.Dialer.DialContext] does: maybe by way of another machine.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// ConnectBy is Connect over connections that somebody else makes.
func (b Broker) ConnectBy(ctx context.Context, dial Dial) (net.Conn, error) {
	settings, err := b.settingsTLS()
	if err != nil {
		return nil, err
	}
	plain, err := dial(ctx, "tcp", b.Address())
	if err != nil || settings == nil {
		return plain, err
	}
	secure := tls.Client(plain, settings)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = plain.Close()
		return nil, b.explainTLS(err)
	}
	return secure, nil
}

// settingsTLS are nil without TLS. The authority's file is read each time: a renewal takes no restart.
func (b Broker) settingsTLS() (*tls.Config, error) {
	if !b.TLS {
		return nil, nil
	}
	settings := &tls.Config{ServerName: b.Host, MinVersion: tls.VersionTLS12}
	if b.CAFile == "" {
		return settings, nil
	}
	authority, err := os.ReadFile(b.CAFile)
	if err != nil {
		return nil, fmt.Errorf("the authority that vouches for the broker's certificate (%s): %w", KeyCAFile, err)
	}
	settings.RootCAs = x509.NewCertPool()
	if !settings.RootCAs.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("the authority that vouches for the broker's certificate (%s): %s: no certificate in PEM form",
			KeyCAFile, b.CAFile)
	}
	return settings, nil
}

// explainTLS says what to do about a handshake that failed.
func (b Broker) explainTLS(err error) error {
	var (
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		another x509.HostnameError
		noTLS   tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &unknown) && b.CAFile == "":
		return fmt.Errorf("no authority that this machine knows vouches for the broker's certificate: name the right one in a line "+
			"%s = PATH of the credentials file: %w", KeyCAFile, err)
	case errors.As(err, &unknown):
		return fmt.Errorf("%s does not vouch for the broker's certificate: name the right authority in the line %s of the "+
			"credentials file: %w", b.CAFile, KeyCAFile, err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("the broker's certificate is not valid now, but from %s to %s: have it renewed (terraform apply does that "+
			"where it is ours), and look at both clocks: %w", date(invalid.Cert.NotBefore), date(invalid.Cert.NotAfter), err)
	case errors.As(err, &another):
		return fmt.Errorf("the broker's certificate is not for %s: use a name that it has, or have this one put into it: %w", b.Host, err)
	case errors.As(err, &noTLS):
		return fmt.Errorf("there is no TLS at %s: amqps:// wants the port of AMQP over TLS, usually %d: %w", b.Address(),
			DefaultTLSPort, err)
	}
	return fmt.Errorf("no connection over TLS 1.2 or later: %w", err)
}

func date(t time.Time) string { return t.UTC().Format(time.DateTime) + " UTC" }
