package provider

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// TestCertificatesIn: whatever else is in a file stays where it is.
func TestCertificatesIn(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	raw, err := x509.CreateCertificate(nil, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	one := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	for name, tc := range map[string]struct{ text, want []byte }{
		"one":                       {one, one},
		"two":                       {bytes.Repeat(one, 2), bytes.Repeat(one, 2)},
		"among other things":        {bytes.Join([][]byte{[]byte("# ours\n"), key, one, []byte("root:$6$:")}, nil), one},
		"a key":                     {key, nil},
		"what only says that it is": {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secret}), nil},
		"none":                      {[]byte("root:$6$:"), nil},
	} {
		got, err := certificatesIn(tc.text)
		if !bytes.Equal(got, tc.want) || errors.Is(err, config.ErrInvalid) != (tc.want == nil) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if refused := certificate().(check).rule(string(tc.text)) != nil; refused != (tc.want == nil || bytes.Contains(tc.text, key)) {
			t.Errorf("%s: as an attribute refused: %v", name, refused)
		}
	}
}

// TestBeside: a file that another one names is on its machine.
func TestBeside(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"/etc/broker":                            "/etc/ca.pem",
		"ssh://me@broker:2222/etc/broker":        "ssh://me@broker:2222/etc/ca.pem",
		"ssh://root@b:22/x?identity_file=%2Fkey": "ssh://root@b:22/etc/ca.pem?identity_file=%2Fkey",
	} {
		if got := beside(name, "/etc/ca.pem"); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
