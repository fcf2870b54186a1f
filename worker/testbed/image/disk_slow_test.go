//go:build slow

package image

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

func TestMain(m *testing.M) { testbedtest.Main(m) }

// TestDiskBoots: a disk that is built boots by itself in a machine that is emulated, asks its cloud who it is, makes its file system as
// large as the disk, and lets in whom the cloud names.
func TestDiskBoots(t *testing.T) {
	queue := testbedtest.ThisMachine(t)
	folder := t.TempDir()
	cfg := config.Image{Release: queue.Release, Architecture: queue.Architecture, Directory: folder}
	disk, err := BuildDisk(t.Context(), cfg, folder, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	signer, cloud := newCloud(t)
	resize := exec.CommandContext(t.Context(), "qemu-img", "resize", "-q", disk, "8G")
	if out, err := resize.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	console := filepath.Join(folder, "console")
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Minute) // emulated, on a busy machine
	defer stop()
	machine := exec.CommandContext(ctx, "qemu-system-x86_64", "-m", "1024", "-smp", "2", "-display", "none", "-serial", "file:"+console,
		"-drive", "if=virtio,format=qcow2,file="+disk, "-netdev", "user,id=net,hostfwd=tcp:"+address+"-:22",
		"-device", "virtio-net-pci,netdev=net", "-smbios", "type=1,serial=ds=nocloud-net;s="+cloud)
	if err := machine.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- machine.Wait() }()
	defer func() { stop(); <-ended }()
	said, err := await(ctx, address, signer, "cloud-init status --wait >/dev/null; sudo -n id -u; hostname; df --output=size -BG / | tail -n 1")
	if err != nil {
		text, _ := os.ReadFile(console)
		t.Fatalf("%v; its console:\n%s", err, bytes.ToValidUTF8(text[max(len(text)-4000, 0):], nil))
	}
	if fields := strings.Fields(said); len(fields) != 3 || fields[0] != "0" || fields[1] != "canary" || fields[2] != "8G" {
		t.Errorf("%q, want root by sudo, the name that the cloud gave, and 8 GiB", said)
	}
}

// newCloud tells cloud-init who it is, as a cloud's metadata service does, and to let in a key.
func newCloud(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string]string{
		"/meta-data": "instance-id: one\nlocal-hostname: canary\n", "/vendor-data": "",
		"/user-data": fmt.Sprintf("#cloud-config\nssh_authorized_keys: [%q]\n", strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, there := answers[r.URL.Path]
		if !there {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(server.Close)
	return signer, strings.Replace(server.URL, "127.0.0.1", "10.0.2.2", 1) + "/" // where the machine sees this one
}

// await logs in as soon as that is possible, and runs a command.
func await(ctx context.Context, address string, key ssh.Signer, command string) (string, error) {
	for {
		said, err := login(address, key, command)
		if err == nil {
			return said, nil
		}
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
			return "", errors.Join(ctx.Err(), err)
		}
	}
}

func login(address string, key ssh.Signer, command string) (string, error) {
	client, err := ssh.Dial("tcp", address, &ssh.ClientConfig{
		User: "debian", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: time.Minute,
	})
	if err != nil {
		return "", err
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	said, err := session.Output(command)
	return string(said), err
}
