//go:build component

package run

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/programtest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// stub is a double of autopkgtest: a program that is told what to do by the name of the package. It runs while a file
// called after the package is in its gate folder.
const stub = `#!/bin/sh
out=$1 package=$2 gate=$3
mkdir -p "$out"
echo "autopkgtest [01:02:03]: starting" > "$out/log"
while [ -e "$gate/$package" ]; do sleep 0.05; done
printf 'smoke                PASS\n' > "$out/summary"
printf '{"virt_server": "autopkgtest-virt-unshare"}' > "$out/testinfo.json"
printf '%s 1:2-3\n' "$package" > "$out/testpkg-version"
echo "the end" >> "$out/log"
case $package in bad*) exit 4 ;; broken*) exit 16 ;; esac
`

// stubbed runs the stub for each job.
type stubbed struct {
	program, gate string

	mu            sync.Mutex
	begun         map[string]int // package → how often
	running, most int
}

func newStub(t *testing.T) *stubbed {
	t.Helper()
	s := &stubbed{program: filepath.Join(t.TempDir(), "autopkgtest"), gate: t.TempDir(), begun: map[string]int{}}
	programtest.Write(t, s.program, stub)
	return s
}

// hold keeps the tests of a package running until the returned function is called.
func (s *stubbed) hold(t *testing.T, pkg string) (release func()) {
	t.Helper()
	path := filepath.Join(s.gate, pkg)
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return func() { _ = os.Remove(path) }
}

func (s *stubbed) count(pkg string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun[pkg]
}

func (s *stubbed) Run(ctx context.Context, job testbed.Job) (testbed.Outcome, error) {
	s.mu.Lock()
	s.begun[job.Request.Package]++
	s.running++
	s.most = max(s.most, s.running)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
	}()
	began := time.Now()
	err := exec.CommandContext(ctx, s.program, job.OutputDir, job.Request.Package, s.gate).Run()
	if ctx.Err() != nil {
		return testbed.Outcome{}, context.Cause(ctx)
	}
	outcome := testbed.Outcome{Duration: time.Since(began)}
	if ended := new(exec.ExitError); errors.As(err, &ended) {
		outcome.ExitCode = ended.ExitCode()
	} else if err != nil {
		return testbed.Outcome{}, err
	}
	return outcome, nil
}

func (s *stubbed) Ready(request.Queue) error { return nil }

func (s *stubbed) Canary(context.Context, request.Queue) error { return nil }

func (s *stubbed) Remove(_ context.Context, folder string) error { return os.RemoveAll(folder) }

// cloud is a real broker and a real store, for a release that nobody else has.
type cloud struct {
	broker  *queuetest.Broker
	account config.Store
	store   store.Store
	queue   request.Queue
	images  string
	session *queue.Session // an administrator's
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	path := os.Getenv("AUTOPKGTEST_TEST_SWIFT")
	if path == "" {
		t.Fatal("AUTOPKGTEST_TEST_SWIFT is not set: this test needs a real store, `make test` starts one")
	}
	account, err := config.ReadStore(path)
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{
		broker: queuetest.New(t), account: account, store: swift.New(account), images: t.TempDir(),
		queue: request.Queue{Release: "rel" + strings.ToLower(rand.Text()[:8]), Architecture: "amd64"},
	}
	output(c.images, map[string]string{filepath.Base(testbed.ImagePath(c.images, c.queue)): "image"})
	c.broker.DeclareQueue(t, c.queue.Name())
	if c.session, err = queue.Dial(t.Context(), c.broker.Admin); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.session.Close() })
	if err := c.session.DeclareExchanges(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, l := range []queue.Listener{queue.CompletionListener, queue.StatusListener} {
		if err := c.session.DeclareListener(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// listen hears completions and status messages. It uses the administrator's session.
func (c *cloud) listen(t *testing.T) <-chan queue.Delivery {
	t.Helper()
	heard, err := c.session.Consume(t.Context(), []string{queue.CompletionListener.Queue, queue.StatusListener.Queue}, 100)
	if err != nil {
		t.Fatal(err)
	}
	return heard
}

func (c *cloud) request(t *testing.T, bodies ...string) {
	t.Helper()
	for _, text := range bodies {
		if err := c.session.Publish(t.Context(), "", c.queue.Name(), []byte(text), true); err != nil {
			t.Fatal(err)
		}
	}
}

// working is a worker that runs in this process.
type working struct {
	*Worker
	cancel context.CancelFunc
	ended  chan struct{}
	err    error
}

// work starts a worker with the rights of one.
func (c *cloud) work(t *testing.T, testbeds Testbeds, broker config.Broker, results store.Store, slots int, change ...func(*Settings)) *working {
	t.Helper()
	return c.workWith(t, testbeds, func(ctx context.Context) (*queue.Session, error) { return queue.Dial(ctx, broker) }, results, slots, change...)
}

func (c *cloud) workWith(t *testing.T, testbeds Testbeds, dial Dialer, results store.Store, slots int, change ...func(*Settings)) *working {
	t.Helper()
	settings := Settings{
		Queues: []request.Queue{c.queue}, Slots: slots, StateDirectory: t.TempDir(), Images: c.images,
		Timeout: time.Hour, DrainTimeout: time.Minute, RetryPause: 10 * time.Millisecond,
	}
	for _, f := range change {
		f(&settings)
	}
	w, err := New(settings, testbeds, results, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	running := &working{Worker: w, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(running.ended)
		running.err = w.Run(ctx, dial)
	}()
	t.Cleanup(func() {
		cancel()
		running.wait(t)
	})
	return running
}

func (w *working) wait(t *testing.T) {
	t.Helper()
	select {
	case <-w.ended:
	case <-time.After(time.Minute):
		t.Fatal("the worker has not ended within a minute")
	}
	if w.err != nil {
		t.Error(w.err)
	}
}

func (c *cloud) workerAccount(t *testing.T) config.Broker {
	return c.broker.User(t, "worker", `^(teststatus\.fanout|amq\.gen-.*)$`,
		`^(teststatus\.fanout|testcomplete\.fanout|autopkgtest\.answers|autopkgtest\.rejected|amq\.gen-.*)$`,
		`^(debci-.*|autopkgtest\.control|amq\.gen-.*)$`)
}

func (c *cloud) depth(t *testing.T) int {
	t.Helper()
	ready, _, err := c.session.Depth(t.Context(), c.queue.Name())
	if err != nil {
		t.Fatal(err)
	}
	return ready
}

// results lists the run ids of a package that have a result.tar.
func (c *cloud) results(t *testing.T, pkg string) []result.RunID {
	t.Helper()
	container := result.Container(c.queue.Release, nil, false)
	ids, err := runs(t.Context(), c.store, container, c.queue.Release, c.queue.Architecture, pkg, "")
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	var whole []result.RunID
	for _, id := range ids {
		at := result.Location{
			Container: container, Release: c.queue.Release, Architecture: c.queue.Architecture, Package: pkg, RunID: id,
		}
		body, _, err := c.store.Get(t.Context(), container, at.Object(result.TarObject))
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = body.Close()
		whole = append(whole, id)
	}
	return whole
}

// drained waits until the queue holds nothing and the worker nothing of it.
func (c *cloud) drained(t *testing.T, workers ...*working) {
	t.Helper()
	queuetest.Eventually(t, "all requests are done", func() bool {
		for _, w := range workers {
			if len(w.Running()) > 0 {
				return false
			}
		}
		return c.depth(t) == 0
	})
}
