package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
)

// broker notes down what is published; queues that it does not know do not exist.
type broker struct {
	mutex    sync.Mutex
	queues   map[string]bool
	account  config.Broker
	dialErr  error
	failAt   int // the publish that fails, counted from 1
	messages []message
	closed   int

	answers  []queue.Answer // of the workers, in order
	askErr   error
	lost     bool            // the session ends after the answers
	commands []queue.Command // that were sent

	ready  int // messages in each queue, as far as it says; Get has none
	getErr error
}

func (b *broker) Ask(ctx context.Context, commands []queue.Command) (<-chan queue.Answer, error) {
	if b.askErr != nil {
		return nil, b.askErr
	}
	b.commands = commands
	answers := make(chan queue.Answer, len(b.answers))
	for _, a := range b.answers {
		answers <- a
	}
	if b.lost {
		close(answers)
	} else {
		context.AfterFunc(ctx, func() { close(answers) })
	}
	return answers, nil
}

type message struct{ Queue, Body string }

func (b *broker) Depth(_ context.Context, name string) (int, int, error) {
	if !b.queues[name] {
		return 0, 0, fmt.Errorf("%w: %s", queue.ErrNoQueue, name)
	}
	return b.ready, 0, nil
}

func (b *broker) Publish(_ context.Context, exchange, key string, body []byte, persistent bool) error {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if exchange != "" || !persistent {
		return fmt.Errorf("published to exchange %q, persistent %v", exchange, persistent)
	}
	if b.failAt > 0 && len(b.messages)+1 == b.failAt {
		return queue.ErrUnconfirmed
	}
	b.messages = append(b.messages, message{key, string(body)})
	return nil
}

func (b *broker) Get(_ context.Context, name string) (queue.Delivery, bool, error) {
	return queue.Delivery{}, false, b.getErr
}

func (b *broker) Close() error {
	b.closed++
	return nil
}

// fixture is a command in a world of the test's own: files, broker, site, clock.
type fixture struct {
	app      *app
	out, err bytes.Buffer
	env      map[string]string
	broker   *broker
	config   string // the configuration file
	site     *httptest.Server
	columns  int // of the terminal; 0 for none
	clock    time.Time
	pauses   int
}

// newFixture makes a world with a site that answers from a table: path and query, then body. A func() string is asked.
func newFixture(t *testing.T, answers map[string]any) *fixture {
	t.Helper()
	f := &fixture{
		env:    map[string]string{"HOME": t.TempDir()},
		broker: &broker{queues: map[string]bool{"debci-noble-amd64": true, "debci-noble-arm64": true}},
		clock:  time.Date(2026, 11, 22, 1, 21, 27, 123456000, time.UTC),
	}
	f.site = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, found := answers[r.URL.RequestURI()]
		if !found {
			answer, found = answers[r.URL.Path]
		}
		if !found {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"error": "There is nothing here."}`))
			return
		}
		switch answer := answer.(type) {
		case int:
			w.WriteHeader(answer)
		case string:
			_, _ = w.Write([]byte(answer))
		case func(*http.Request) string:
			_, _ = w.Write([]byte(answer(r)))
		}
	}))
	t.Cleanup(f.site.Close)
	f.app = &app{
		out: &f.out, err: &f.err, getenv: func(key string) string { return f.env[key] },
		width:    func() (int, bool) { return f.columns, f.columns > 0 },
		now:      func() time.Time { return f.clock },
		sitePath: filepath.Join(t.TempDir(), "site.conf"),
		pause: func(ctx context.Context, d time.Duration) error {
			f.pauses++
			f.clock = f.clock.Add(d)
			return ctx.Err()
		},
		dial: func(_ context.Context, account config.Broker) (publisher, error) {
			f.broker.account = account
			return f.broker, f.broker.dialErr
		},
	}
	f.config = filepath.Join(t.TempDir(), "cloud.conf")
	f.write(t, f.config, fmt.Sprintf("[web]\nurl = %s\n[amqp]\nuri = amqp://test_request:hunter2@127.77.0.1\n", f.site.URL))
	f.env[configVariable] = f.config
	return f
}

func (f *fixture) write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run executes a command line and insists on its exit code.
func (f *fixture) run(t *testing.T, want int, line ...string) {
	t.Helper()
	f.runWith(t, t.Context(), want, line...)
}

func (f *fixture) runWith(t *testing.T, ctx context.Context, want int, line ...string) {
	t.Helper()
	f.out.Reset()
	f.err.Reset()
	if got := f.app.run(ctx, line); got != want {
		t.Fatalf("%q ends with %d, want %d\nstdout: %s\nstderr: %s", line, got, want, &f.out, &f.err)
	}
	for _, text := range []string{f.out.String(), f.err.String()} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("the password is shown: %s", text)
		}
	}
}

func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s does not have %q:\n%s", what, part, text)
		}
	}
}
