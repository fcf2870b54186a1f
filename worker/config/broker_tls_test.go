package config

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBrokerOverTLS: what an operator may write, and that it is written again in the same sense.
func TestBrokerOverTLS(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, test := range map[string]struct {
		content string
		ca      string
		address string
	}{
		"authorities of the machine": {"uri = amqps://u:hunter2@broker.example\n", "", "broker.example:5671"},
		"port":                       {"amqps://u:hunter2@broker.example:7/v\n", "", "broker.example:7"},
		"authority":                  {"uri = amqps://u:hunter2@[::1]\nca_file = /etc/ca.pem\n", "/etc/ca.pem", "[::1]:5671"},
		"authority first":            {"ca_file=/etc/ca.pem\nuri=amqps://u:hunter2@h\n", "/etc/ca.pem", "h:5671"},
		"beside the file":            {"uri = amqps://u:hunter2@h\nca_file = tls/ca.pem\n", filepath.Join(folder, "tls/ca.pem"), "h:5671"},
		"for a shell": {
			"export MQ='amqps://u:hunter2@h'\nexport MQ_CA_FILE='/my '\\''ca'\\''.pem'\n", "/my 'ca'.pem", "h:5671",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(folder, strings.ReplaceAll(name, " ", "-"))
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			b, key, err := ReadBrokerKey(path)
			if err != nil {
				t.Fatal(err)
			}
			if !b.TLS || b.CAFile != test.ca || b.Address() != test.address {
				t.Errorf("TLS %v, authority %q, at %s; want %q, %s", b.TLS, b.CAFile, b.Address(), test.ca, test.address)
			}
			if key == "" {
				key = KeyURI
			}
			if err := ReplaceCredentials(path, b.File(key)); err != nil {
				t.Fatal(err)
			}
			if again, kept, err := ReadBrokerKey(path); err != nil || again != b || kept != key {
				t.Errorf("written again it is another account: %v, %v", err, again == b)
			}
		})
	}
	script := string(Broker{Username: "u", Password: "hunter2", Host: "h", TLS: true, CAFile: "/my 'ca'.pem"}.File(ShellKey("MQ"))) +
		`sh -c 'printf %s "$MQ_CA_FILE"'`
	if out, err := exec.Command("sh", "-c", script).Output(); err != nil || string(out) != "/my 'ca'.pem" {
		t.Errorf("a shell reads the authority %q: %v", out, err)
	}
}

// authority vouches for the certificates of a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-48 * time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{key: key, file: filepath.Join(t.TempDir(), "ca.pem")}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a authority) issue(t *testing.T, until time.Time, address string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until,
		IPAddresses: []net.IP{net.ParseIP(address)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
}

// listen accepts connections and ends each after its handshake, if it is for TLS.
func listen(t *testing.T, settings *tls.Config) (port int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_ = connection.SetDeadline(time.Now().Add(10 * time.Second))
			if settings != nil {
				_ = tls.Server(connection, settings).Handshake()
			} else {
				_, _ = connection.Write([]byte("AMQP\x00\x00\x09\x01"))
			}
			_ = connection.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr().(*net.TCPAddr).Port
}

// TestConnect: whom it believes, and what it says of everybody else.
func TestConnect(t *testing.T) {
	t.Parallel()
	ours, other := newAuthority(t), newAuthority(t)
	serving := func(until time.Time, address string) *tls.Config {
		return &tls.Config{MinVersion: tls.VersionTLS10, Certificates: []tls.Certificate{ours.issue(t, until, address)}}
	}
	later := time.Now().Add(time.Hour)
	outdated := serving(later, "127.0.0.1")
	outdated.MaxVersion = tls.VersionTLS11
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		server *tls.Config
		ca     string
		says   string
	}{
		"right":                    {serving(later, "127.0.0.1"), ours.file, ""},
		"another authority":        {serving(later, "127.0.0.1"), other.file, other.file + " does not vouch for"},
		"none of this machine's":   {serving(later, "127.0.0.1"), "", "no authority that this machine knows vouches for"},
		"expired":                  {serving(time.Now().Add(-time.Minute), "127.0.0.1"), ours.file, "is not valid now"},
		"another host":             {serving(later, "127.0.0.2"), ours.file, "is not for 127.0.0.1"},
		"a version of long ago":    {outdated, ours.file, "TLS 1.2"},
		"no TLS at all":            {nil, ours.file, "no TLS"},
		"no authority's file":      {serving(later, "127.0.0.1"), ours.file + ".gone", ours.file + ".gone"},
		"no certificate in a file": {serving(later, "127.0.0.1"), text, text + ": no certificate in PEM form"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := Broker{Username: "u", Password: "hunter2", Host: "127.0.0.1", Port: listen(t, test.server), TLS: true, CAFile: test.ca}
			connection, err := b.Connect(t.Context())
			if err == nil {
				_ = connection.Close()
			}
			switch {
			case test.says == "" && err != nil:
				t.Error(err)
			case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)):
				t.Errorf("error %v, want one that says %q", err, test.says)
			}
		})
	}
}

// TestConnectEnds: who listens and says nothing holds nobody up.
func TestConnectEnds(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	b := Broker{Host: "127.0.0.1", Port: silent.Addr().(*net.TCPAddr).Port, TLS: true, CAFile: newAuthority(t).file}
	if _, err := b.Connect(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
}
