package openstack

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// TestNewPrivateKey: ssh's own tool reads the file, and it is known as ours.
func TestNewPrivateKey(t *testing.T) {
	t.Parallel()
	file, public, err := NewPrivateKey(KeyMark("default", "testbed"))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ssh-keygen", "-y", "-f", name).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != public.Line() {
		t.Errorf("ssh-keygen: %v, %s; want %s", err, out, public.Line())
	}
	out, err = exec.Command("ssh-keygen", "-l", "-E", "md5", "-f", name).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "MD5:"+public.Fingerprint()) {
		t.Errorf("ssh-keygen: %v, %s; want %s", err, out, public.Fingerprint())
	}
	for stack, ours := range map[string]bool{"default": true, "other": false, "defaul": false} {
		key, err := ReadPrivateKey(file, stack)
		if err != nil || key.Ours != ours || key.Public.Line() != public.Line() {
			t.Errorf("read for the stack %s: %+v, %v", stack, key, err)
		}
	}
}

// TestReadPrivateKey: keys of others are read and not ours, whatever their comment is worth; what is none is said without showing it.
func TestReadPrivateKey(t *testing.T) {
	t.Parallel()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := ssh.MarshalPrivateKey(secret, "me@there")
	if err != nil {
		t.Fatal(err)
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(secret, KeyMark("default", "x"), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		file []byte
		want error
	}{
		"another's":  {pem.EncodeToMemory(plain), nil},
		"passphrase": {pem.EncodeToMemory(locked), ErrPassphrase},
		"empty":      {nil, ErrNoKey},
		"text":       {[]byte("Secret1"), ErrNoKey},
		"cut":        {pem.EncodeToMemory(&pem.Block{Type: plain.Type, Bytes: plain.Bytes[:100]}), ErrNoKey},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, err := ReadPrivateKey(test.file, "default")
			if !errors.Is(err, test.want) || key.Ours {
				t.Errorf("%+v, %v; want %v", key, err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "Secret1") {
				t.Error("the error shows the file")
			}
		})
	}
}

func TestParsePublicKey(t *testing.T) {
	t.Parallel()
	_, public, err := NewPrivateKey("me@there")
	if err != nil {
		t.Fatal(err)
	}
	for text, right := range map[string]bool{
		public.Line(): true, public.Line() + "\n": true, strings.TrimSuffix(public.Line(), " me@there"): true,
		"":                                    false,
		"ssh-ed25519 AAAA":                    false,
		"no-pty " + public.Line():             false,
		public.Line() + "\n" + public.Line():  false,
		"-----BEGIN OPENSSH PRIVATE KEY-----": false,
	} {
		key, err := ParsePublicKey(text)
		if (err == nil) != right {
			t.Errorf("%q: %v", text, err)
		}
		if right && key.Fingerprint() != public.Fingerprint() {
			t.Errorf("%q has another fingerprint", text)
		}
	}
}
