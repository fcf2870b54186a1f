//go:build component || (openstack && guests)

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/run"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

// machine is a folder in which an account without privileges runs the real program.
type machine struct {
	folder     string
	credential *syscall.Credential // nil when we are such an account ourselves
	broker     *queuetest.Broker
	session    *queue.Session
	conf       config.Worker

	environment []string // beside ours
}

// newProgram has the program, and a virtual host of a broker. The rest is to be written yet.
func newProgram(t *testing.T) *machine {
	t.Helper()
	// Not t.TempDir, whose parent is closed to other accounts.
	folder, err := os.MkdirTemp("", "autopkgtest-worker-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	m := &machine{folder: folder, broker: queuetest.New(t)}
	if out, err := exec.Command("go", "build", "-o", m.path("autopkgtest-worker"), ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return m
}

func (m *machine) path(name string) string { return filepath.Join(m.folder, name) }

func (m *machine) write(t *testing.T, name string, content []byte) {
	t.Helper()
	path := m.path(name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// giveAway makes the folder the test account's, if we are root: root may not run strangers' tests.
func (m *machine) giveAway(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	account, err := testbedtest.FindAccount()
	if err != nil {
		t.Fatal(err)
	}
	m.credential = account.Credential()
	err = filepath.WalkDir(m.folder, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, account.UID, account.GID))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func (m *machine) command(args ...string) *exec.Cmd {
	command := exec.Command(m.path("autopkgtest-worker"), append(args, "--config", m.path("worker.conf"))...)
	command.Dir = m.folder
	command.Env = append(os.Environ(), "TMPDIR="+m.folder, "HOME="+m.folder)
	command.Env = append(command.Env, m.environment...)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: m.credential, Setpgid: true}
	return command
}

// process is a running worker.
type process struct {
	*exec.Cmd
	log   *lockedBuffer
	ended chan error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (m *machine) start(t *testing.T) *process {
	t.Helper()
	p := &process{Cmd: m.command(), log: new(lockedBuffer), ended: make(chan error, 1)}
	p.Stderr = p.log
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.Wait() }()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("the worker's log:\n%s", p.log)
		}
	})
	return p
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func (p *process) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.ended:
		p.ended <- err // for the clean-up
		return err
	case <-time.After(time.Minute):
		t.Fatal("the worker has not ended within a minute")
	}
	panic("not reached")
}

// ready asks the health listener.
func (m *machine) ready() (status int, findings map[string]run.Finding) {
	answer, err := http.Get("http://" + m.conf.HealthListen + "/readyz")
	if err != nil {
		return 0, nil
	}
	defer func() { _ = answer.Body.Close() }()
	var content struct{ Checks []run.Finding }
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&content); err != nil {
		return 0, nil
	}
	findings = map[string]run.Finding{}
	for _, f := range content.Checks {
		findings[f.ID] = f
	}
	return answer.StatusCode, findings
}

func (m *machine) untilReady(t *testing.T) {
	t.Helper()
	queuetest.Eventually(t, "the worker is ready", func() bool {
		status, _ := m.ready()
		return status == http.StatusOK
	})
}
