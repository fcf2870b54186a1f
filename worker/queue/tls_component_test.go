//go:build component

package queue_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
)

// TestOverTLS has a session with the broker over TLS do what a worker does, and end in each way.
func TestOverTLS(t *testing.T) {
	t.Parallel()
	b := queuetest.New(t)
	b.DeclareQueue(t, normal)
	secure := b.OverTLS(t)
	s := dial(t, secure)
	deliveries, err := s.Consume(t.Context(), []string{normal}, 1)
	if err != nil {
		t.Fatal(err)
	}
	// Longer than a record of TLS, and than a frame.
	publish(t, s, normal, "libpng {}", strings.Repeat("x", 300_000))
	for _, length := range []int{9, 300_000} {
		d := receive(t, deliveries)
		if len(d.Body) != length {
			t.Errorf("%d bytes of %d have arrived", len(d.Body), length)
		}
		if err := d.Ack(); err != nil {
			t.Error(err)
		}
	}
	if ready, _, err := s.Depth(t.Context(), normal); err != nil || ready != 0 {
		t.Errorf("%d messages are left, %v", ready, err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("the session does not part in order: %v", err)
	}

	frozen, through := queuetest.Through(t, secure)
	through.Host = "127.0.0.1" // which the certificate has, too
	s = dial(t, through, queue.WithLimit(2*time.Second))
	frozen.Freeze()
	begin := time.Now()
	if _, _, err := s.Depth(t.Context(), normal); !errors.Is(err, queue.ErrUnreachable) {
		t.Errorf("a broker that is silent: %v", err)
	}
	<-s.Done()
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %s to give it up", took)
	}
}

// TestWhomTLSBelieves: a broker that cannot prove who it is gets no password.
func TestWhomTLSBelieves(t *testing.T) {
	t.Parallel()
	b := queuetest.New(t)
	secure := b.OverTLS(t)
	stranger, _ := certificate(t, time.Now().Add(time.Hour))
	wrong := secure
	wrong.CAFile = stranger
	unknown := secure
	unknown.CAFile = ""
	plain := secure
	plain.Port = b.Admin.Port
	for name, test := range map[string]struct {
		broker config.Broker
		says   string
	}{
		"another authority":          {wrong, stranger + " does not vouch for the broker's certificate"},
		"an authority nobody knows":  {unknown, "name the right one in a line ca_file = PATH"},
		"the port of plain AMQP":     {plain, "there is no TLS at"},
		"a certificate that expired": {behind(t, b.Admin, time.Now().Add(-time.Minute)), "is not valid now"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := queue.Dial(t.Context(), test.broker, queue.WithLimit(10*time.Second))
			if err == nil {
				_ = s.Close()
			}
			if !errors.Is(err, queue.ErrUnreachable) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want one that says %q", err, test.says)
			}
			if err != nil && strings.Contains(err.Error(), test.broker.Password.Reveal()) {
				t.Error("the error holds the password")
			}
		})
	}
	if s, err := queue.Dial(t.Context(), behind(t, b.Admin, time.Now().Add(time.Hour))); err != nil {
		t.Errorf("the same with a valid certificate: %v", err)
	} else {
		_ = s.Close()
	}
}

// behind puts somebody in front of the broker who speaks TLS with a certificate of a test.
func behind(t *testing.T, broker config.Broker, until time.Time) config.Broker {
	t.Helper()
	file, pair := certificate(t, until)
	secure := queuetest.Terminate(t, broker, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}})
	secure.CAFile = file
	return secure
}

// certificate signs itself.
func certificate(t *testing.T, until time.Time) (file string, pair tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
