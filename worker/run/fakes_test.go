package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lease"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/directory"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// fakeMessage counts how it is settled.
type fakeMessage struct {
	mu             sync.Mutex
	stale          bool
	acks, requeues int
}

func (m *fakeMessage) settle(count *int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stale {
		return fmt.Errorf("settle: %w", queue.ErrStale)
	}
	*count++
	return nil
}

func (m *fakeMessage) Ack() error     { return m.settle(&m.acks) }
func (m *fakeMessage) Requeue() error { return m.settle(&m.requeues) }

func (m *fakeMessage) Stale() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stale
}

// lose ends the message's session.
func (m *fakeMessage) lose() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stale = true
}

// settled is how it was settled: acks, requeues.
func (m *fakeMessage) settled() [2]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return [2]int{m.acks, m.requeues}
}

var (
	acked     = [2]int{1, 0}
	requeued  = [2]int{0, 1}
	unsettled = [2]int{0, 0}
)

// fakeTestbeds runs a script in place of autopkgtest.
type fakeTestbeds struct {
	script func(ctx context.Context, job testbed.Job) (testbed.Outcome, error)
	canary func() error              // nil: all testbeds are sound
	ready  func(request.Queue) error // nil: all testbeds are in service whose image is there
	images string

	mu      sync.Mutex
	running int
	most    int // at a time
	begun   int
	removed []string
}

func (f *fakeTestbeds) Run(ctx context.Context, job testbed.Job) (testbed.Outcome, error) {
	f.mu.Lock()
	f.begun++
	f.running++
	f.most = max(f.most, f.running)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.running--
	}()
	if err := os.MkdirAll(job.OutputDir, 0o755); err != nil {
		return testbed.Outcome{}, err
	}
	outcome, err := f.script(ctx, job)
	if err == nil && job.Ended != nil {
		job.Ended()
	}
	return outcome, err
}

func (f *fakeTestbeds) Remove(_ context.Context, folder string) error {
	f.mu.Lock()
	f.removed = append(f.removed, folder)
	f.mu.Unlock()
	return os.RemoveAll(folder)
}

func (f *fakeTestbeds) Ready(q request.Queue) error {
	if f.ready != nil {
		return f.ready(q)
	}
	_, err := testbed.DescribeImage(testbed.ImagePath(f.images, q))
	return err
}

func (f *fakeTestbeds) Canary(context.Context, request.Queue) error {
	if f.canary == nil {
		return nil
	}
	return f.canary()
}

// peak is how many ran at a time.
func (f *fakeTestbeds) peak() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most
}

func (f *fakeTestbeds) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.begun
}

// output writes files as autopkgtest does; names with a slash make folders.
func output(folder string, files map[string]string) {
	for name, content := range files {
		path := filepath.Join(folder, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			panic(err)
		}
	}
}

// passes is a test of a few minutes that passes.
func passes(ctx context.Context, job testbed.Job) (testbed.Outcome, error) {
	return ends(0)(ctx, job)
}

// ends is a test of a few minutes with a given exit code.
func ends(code int) func(context.Context, testbed.Job) (testbed.Outcome, error) {
	return func(ctx context.Context, job testbed.Job) (testbed.Outcome, error) {
		output(job.OutputDir, map[string]string{
			"log":              "autopkgtest [01:02:03]: starting\nall is well\n",
			"summary":          "smoke                PASS\n",
			"testinfo.json":    `{"virt_server": "autopkgtest-virt-unshare"}`,
			"testpkg-version":  job.Request.Package + " 1:2-3\n",
			"testbed-packages": "base-files\t12\n",
		})
		if !sleep(ctx, 3*time.Minute) {
			return testbed.Outcome{}, context.Cause(ctx)
		}
		return testbed.Outcome{ExitCode: code, Duration: 3 * time.Minute}, nil
	}
}

// fakeSession keeps what is published.
type fakeSession struct {
	mu       sync.Mutex
	err      error
	messages map[string][]string // exchange → bodies
	whole    map[string][]queue.Message
}

func (s *fakeSession) Publish(ctx context.Context, exchange, key string, body []byte, persistent bool) error {
	return s.PublishMessage(ctx, exchange, key, queue.Message{Body: body, Persistent: persistent})
}

func (s *fakeSession) PublishMessage(_ context.Context, exchange, _ string, m queue.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.messages == nil {
		s.messages, s.whole = map[string][]string{}, map[string][]queue.Message{}
	}
	s.messages[exchange] = append(s.messages[exchange], string(m.Body))
	s.whole[exchange] = append(s.whole[exchange], m)
	return nil
}

func (s *fakeSession) DeclareExchanges(context.Context) error { return nil }

func (s *fakeSession) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *fakeSession) sent(exchange string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.messages[exchange]
}

func (s *fakeSession) wholes(exchange string) []queue.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.whole[exchange]
}

func (s *fakeSession) completions(t *testing.T) []queue.Completion {
	t.Helper()
	var list []queue.Completion
	for _, body := range s.sent(queue.CompletionExchange) {
		c, err := queue.ParseCompletion([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

func (s *fakeSession) statuses(t *testing.T) []queue.Status {
	t.Helper()
	var list []queue.Status
	for _, body := range s.sent(queue.StatusExchange) {
		var status queue.Status
		if err := json.Unmarshal([]byte(body), &status); err != nil {
			t.Fatal(err)
		}
		list = append(list, status)
	}
	return list
}

// hookedStore is a real store whose calls can be made to fail, or be watched. Those for leases go through unless there is a
// hook for them.
type hookedStore struct {
	store.Store
	mu     sync.Mutex
	before func(call, object string) error
	leases func(call, object string) error
}

// hookLeases is hook for what concerns leases.
func (s *hookedStore) hookLeases(f func(call, object string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leases = f
}

func (s *hookedStore) hook(f func(call, object string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

func (s *hookedStore) call(call, container, object string) error {
	s.mu.Lock()
	f := s.before
	if container == lease.Container {
		f = s.leases
	}
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(call, object)
}

func (s *hookedStore) Put(ctx context.Context, container, object string, body io.ReadSeeker, size int64, p store.Properties) error {
	if err := s.call("put", container, object); err != nil {
		return err
	}
	return s.Store.Put(ctx, container, object, body, size, p)
}

func (s *hookedStore) Delete(ctx context.Context, container, object string) error {
	if err := s.call("delete", container, object); err != nil {
		return err
	}
	return s.Store.Delete(ctx, container, object)
}

func (s *hookedStore) List(ctx context.Context, container string, query store.Query) ([]store.Entry, error) {
	if err := s.call("list", container, query.Prefix); err != nil {
		return nil, err
	}
	return s.Store.List(ctx, container, query)
}

func (s *hookedStore) Get(ctx context.Context, container, object string) (io.ReadCloser, store.Properties, error) {
	if err := s.call("get", container, object); err != nil {
		return nil, store.Properties{}, err
	}
	return s.Store.Get(ctx, container, object)
}

// bench is a worker with fakes around it.
type bench struct {
	*Worker
	testbeds *fakeTestbeds
	session  *fakeSession
	store    *hookedStore
	state    *state
	logged   *lockedWriter
}

var noble = request.Queue{Release: "noble", Architecture: "amd64"}

// newBench makes a worker whose tests follow a script. There is a session and an image.
func newBench(t *testing.T, script func(context.Context, testbed.Job) (testbed.Outcome, error), change ...func(*Settings)) *bench {
	t.Helper()
	folder := t.TempDir()
	results, err := directory.New(filepath.Join(folder, "store"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = results.Close() })
	b := &bench{
		testbeds: &fakeTestbeds{script: script, images: folder}, session: &fakeSession{}, store: &hookedStore{Store: results},
		logged: new(lockedWriter),
	}
	settings := Settings{
		Queues: []request.Queue{noble}, Slots: 2, StateDirectory: filepath.Join(folder, "state"), Images: folder,
		Timeout: 8 * time.Hour, DrainTimeout: time.Hour,
	}
	for _, f := range change {
		f(&settings)
	}
	log := slog.New(slog.NewTextHandler(b.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if b.Worker, err = New(settings, b.testbeds, b.store, log); err != nil {
		t.Fatal(err)
	}
	if b.state, err = openState(settings.StateDirectory); err != nil {
		t.Fatal(err)
	}
	b.register()
	t.Cleanup(b.state.close)
	t.Cleanup(func() { b.leases.Wait() })
	output(folder, map[string]string{"noble-amd64.tar.zst": "image"})
	b.broker.lend(b.session)
	return b
}

// restarted is the bench of the next worker in the same state directory, with the same store. The one before must have ended.
func (b *bench) restarted(t *testing.T, script func(context.Context, testbed.Job) (testbed.Outcome, error)) *bench {
	t.Helper()
	b.state.close()
	again := &bench{
		testbeds: &fakeTestbeds{script: script, images: b.testbeds.images}, session: &fakeSession{}, store: b.store, logged: b.logged,
	}
	var err error
	if again.Worker, err = New(b.settings, again.testbeds, again.store, b.log); err != nil {
		t.Fatal(err)
	}
	if again.state, err = openState(b.settings.StateDirectory); err != nil {
		t.Fatal(err)
	}
	again.register()
	t.Cleanup(again.state.close)
	t.Cleanup(again.leases.Wait)
	again.broker.lend(again.session)
	return again
}

// beside is the bench of another worker with the same store, through a door of its own.
func (b *bench) beside(t *testing.T, script func(context.Context, testbed.Job) (testbed.Outcome, error)) *bench {
	t.Helper()
	other := newBench(t, script)
	other.store = &hookedStore{Store: b.store.Store}
	other.Worker.store = other.store
	other.register()
	return other
}

// register gives the worker its leases, as Run does, by the store that it has now.
func (b *bench) register() {
	b.leases = lease.NewRegistry(b.Worker.store, b.state.worker, b.state.leases, b.log)
}

// lockedWriter is a log that is read while it is written.
type lockedWriter struct {
	mu sync.Mutex
	w  bytes.Buffer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(p)
}

func (w *lockedWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.String()
}

// body is a request's, made at a time of its own so that it is like no other.
func body(pkg string) string {
	return pkg + "\n" + `{"triggers": ["` + pkg + `/1:2-3"], "submit-time": "2026-11-22 01:21:27"}`
}

func deliver(text string) (Delivery, *fakeMessage) {
	m := new(fakeMessage)
	return Delivery{Message: m, Queue: noble, Body: []byte(text)}, m
}

func redeliver(text string) (Delivery, *fakeMessage) {
	d, m := deliver(text)
	d.Redelivered = true
	return d, m
}

// stored lists the run ids of a package that have a result, ascending.
func (b *bench) stored(t *testing.T, pkg string) []result.RunID {
	t.Helper()
	ids, err := runs(t.Context(), b.store.Store, "autopkgtest-noble", "noble", "amd64", pkg, "")
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var whole []result.RunID
	for _, id := range ids {
		at := result.Location{Container: "autopkgtest-noble", Release: "noble", Architecture: "amd64", Package: pkg, RunID: id}
		if _, ok := b.object(t, at, result.TarObject); ok {
			whole = append(whole, id)
		}
	}
	return whole
}

// object reads an object of a run.
func (b *bench) object(t *testing.T, at result.Location, name string) ([]byte, bool) {
	t.Helper()
	body, _, err := b.store.Store.Get(t.Context(), at.Container, at.Object(name))
	if errors.Is(err, store.ErrNotFound) {
		return nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil {
		t.Fatal(err)
	}
	return content, true
}

// foreign puts a result into the store as another worker would have.
func (b *bench) foreign(t *testing.T, at time.Time, text string) result.RunID {
	t.Helper()
	pkg, _, _ := strings.Cut(text, "\n")
	id := result.NewRunID(at, []byte(text), "amd64", "noble")
	var tar bytes.Buffer
	if err := (result.Result{Source: pkg, Version: "1:2-3", ExitCode: 4, Request: []byte(text)}).WriteTar(&tar); err != nil {
		t.Fatal(err)
	}
	where := result.Location{Container: "autopkgtest-noble", Release: "noble", Architecture: "amd64", Package: pkg, RunID: id}
	err := errors.Join(
		b.store.CreateContainer(t.Context(), where.Container, true),
		b.store.Store.Put(t.Context(), where.Container, where.Object(result.TarObject), bytes.NewReader(tar.Bytes()), int64(tar.Len()), store.Properties{}))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// folders lists what is left of runs, and of results in the spool.
func (b *bench) folders(t *testing.T) []string {
	t.Helper()
	return append(names(t, b.state.runs), names(t, b.spool.folder)...)
}

func names(t *testing.T, folder string) []string {
	t.Helper()
	found, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range found {
		names = append(names, f.Name())
	}
	return names
}
