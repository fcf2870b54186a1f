package openstacktest

import (
	"crypto/ed25519"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"
)

// GuestImage and GuestFlavor are what testbeds that boot are made of there.
const (
	GuestImage  = "testbed"
	GuestFlavor = "m1.small"
)

// GuestOptions are those of [nova] for testbeds that boot there, in Scalingstack's project: they are reached by floating IP, through a
// group that OpenDoor has made, and their image is Debian's.
func GuestOptions(group string) []string {
	return []string{"--associate-ip", "--login", "debian", "--security-groups", group, "--net-id", "net_" + Scalingstack}
}

// PrivateKey is the path of a new one for ssh.
func PrivateKey(t testing.TB) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
