//go:build component

package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/programtest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// cloud is a cloud for tests: a server on loopback whose machines are namespaces of this one, each with a file system and
// an sshd of its own on a high port.
type cloud struct {
	url, script, key string

	base, folder string
	log          *slog.Logger

	mu       sync.Mutex
	last     int
	machines map[int]*machine
}

type machine struct {
	folder string
	cmd    *exec.Cmd
}

// setupScript is written for these tests. It asks the cloud for a machine and tells autopkgtest how to reach it.
const setupScript = `#!/bin/sh
# SCRIPT open|revert|cleanup CLOUD KEY [--id ID]: machines of the tests' own cloud.
set -e
verb=$1 cloud=$2 key=$3 id=$5
remove() { [ -z "$id" ] || curl -fsS -X DELETE "$cloud/machines/$id"; }
create() { curl -fsS -X POST "$cloud/machines"; echo "identity=$key"; }
case $verb in
open) create ;;
revert) remove; create ;;
cleanup) remove ;;
*) exit 1 ;;
esac
`

func newCloud(t *testing.T, image string) *cloud {
	t.Helper()
	folder := t.TempDir()
	c := &cloud{script: filepath.Join(folder, "test-cloud"), key: filepath.Join(folder, "key"), base: filepath.Join(folder, "base"),
		folder: filepath.Join(folder, "machines"), log: slog.New(slog.NewTextHandler(t.Output(), nil)), machines: map[int]*machine{}}
	if err := errors.Join(os.Mkdir(c.base, 0o755), os.Mkdir(c.folder, 0o755)); err != nil {
		t.Fatal(err)
	}
	programtest.Write(t, c.script, setupScript)
	unpack := testbed.Command{Name: "tar", Package: "tar", Temporary: "/tmp",
		Args: []string{"--extract", "--file", image, "--directory", c.base, "--numeric-owner", "--exclude=./dev/*"}}
	if err := unpack.Run(t.Context(), c.log); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", c.key).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	routes := http.NewServeMux()
	routes.HandleFunc("POST /machines", c.create)
	routes.HandleFunc("DELETE /machines/{id}", c.remove)
	server := httptest.NewServer(routes)
	c.url = server.URL
	t.Cleanup(func() {
		server.Close()
		for id := range c.machines { // of a test that failed
			c.end(id)
		}
		if err := testbed.Remove(context.WithoutCancel(t.Context()), folder); err != nil {
			t.Error(err)
		}
	})
	return c
}

// boot is run as root of a machine's namespaces: $1 its folder, $2 the file system that all begin with.
const boot = `set -e
cd "$1"
mount -t overlay -o "lowerdir=$2,upperdir=upper,workdir=work,userxattr" overlay root
cp /etc/resolv.conf root/etc/resolv.conf
mkdir -p root/run/sshd root/root/.ssh
cp key.pub root/root/.ssh/authorized_keys
cp sshd_config host_key root/etc/ssh/
exec /usr/share/autopkgtest/lib/unshare-helper "$1/root" -- /usr/sbin/sshd -D -e -f /etc/ssh/sshd_config
`

func (c *cloud) create(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.last++
	id := c.last
	m := &machine{folder: filepath.Join(c.folder, strconv.Itoa(id))}
	c.machines[id] = m
	c.mu.Unlock()
	port, err := c.start(r.Context(), m)
	if err != nil {
		c.log.Error("a machine does not start", "id", id, "error", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "login=root\nhostname=127.0.0.1\nport=%d\ncapabilities=revert,revert-full-system\nextraopts=--id %d\n", port, id)
}

func (c *cloud) start(ctx context.Context, m *machine) (port int, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port = listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	for _, name := range []string{"upper", "work", "root"} {
		if err := os.MkdirAll(filepath.Join(m.folder, name), 0o755); err != nil {
			return 0, err
		}
	}
	key, err := os.ReadFile(c.key + ".pub")
	config := fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey /etc/ssh/host_key\nPermitRootLogin yes\nUsePAM no\nStrictModes no\nPidFile none\nUseDNS no\n", port)
	if err = errors.Join(err, os.WriteFile(filepath.Join(m.folder, "key.pub"), key, 0o600),
		os.WriteFile(filepath.Join(m.folder, "sshd_config"), []byte(config), 0o600)); err != nil {
		return 0, err
	}
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(m.folder, "host_key")).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("ssh-keygen: %w: %s", err, out)
	}
	m.cmd = exec.Command("unshare", "--user", "--map-auto", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--",
		"sh", "-c", boot, "sh", m.folder, c.base)
	var said bytes.Buffer
	m.cmd.Stdout, m.cmd.Stderr = &said, &said
	m.cmd.Env = testbed.Environment("/tmp")[:1] // PATH; the marks by which a run's processes are known are not a machine's
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := m.cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan struct{})
	go func() { _ = m.cmd.Wait(); close(ended) }()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		if connection, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			connection.Close()
			return port, nil
		}
		select {
		case <-tick.C:
		case <-ended:
			return 0, fmt.Errorf("its sshd has ended: %s", said.String())
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (c *cloud) remove(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err == nil {
		err = c.end(id)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// end ends a machine and removes its files. One that is not there has been ended before.
func (c *cloud) end(id int) error {
	c.mu.Lock()
	m := c.machines[id]
	c.mu.Unlock()
	if m == nil {
		return nil
	}
	if m.cmd != nil && m.cmd.Process != nil {
		_ = m.cmd.Process.Kill() // an error means that it has ended
	}
	if err := testbed.Remove(context.Background(), m.folder); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.machines, id)
	return nil
}

// left names the machines that nobody has ended.
func (c *cloud) left() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for id := range c.machines {
		out = append(out, "machine "+strconv.Itoa(id))
	}
	return out
}

func (c *cloud) arguments() []string {
	return strings.Fields("ssh -s " + c.script + " -- " + c.url + " " + c.key)
}
