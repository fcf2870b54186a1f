package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/index"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	realsite "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/site"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/directory"
)

// depths is a broker with one queue.
type depths struct{ ready, consumers int }

func (d *depths) Depths(context.Context) ([]realsite.Depth, error) {
	q := request.Queue{Release: "noble", Architecture: "amd64"}
	return []realsite.Depth{{Queue: q, Ready: d.ready, Consumers: d.consumers}}, nil
}

// world is the real site over a real store and index, in which the test plays the worker.
type world struct {
	store   store.Store
	index   *index.Index
	running *realsite.Running
	depths  *depths
}

func newWorld(t *testing.T, f *fixture) *world {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	results, err := directory.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = results.Close() })
	x, err := index.Open(t.Context(), filepath.Join(t.TempDir(), "autopkgtest.db"), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	w := &world{store: results, index: x, running: realsite.NewRunning(time.Now), depths: &depths{1, 1}}
	f.site.Config.Handler, err = realsite.New(realsite.Config{
		Index: x, Store: results, StoreURL: "http://store.invalid/v1/AUTH_x", Releases: []string{"noble"},
		Architectures: []string{"amd64"}, ExternalURL: f.site.URL, Running: w.running, Depths: w.depths,
		Listing: func() index.State { return index.State{} }, Broker: func() error { return nil }, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// tell sends a status message.
func (w *world) tell(t *testing.T, body []byte, running bool) {
	t.Helper()
	_, params, _ := bytes.Cut(body, []byte("\n"))
	err := w.running.Update(queue.Status{
		Release: "noble", Architecture: "amd64", Package: "green", Running: running, Params: json.RawMessage(params),
		Duration: 12, LogTail: "first\nautopkgtest [01:21:27]: test smoke\n", Handle: handle, Worker: "lab-1",
	})
	if err != nil {
		t.Fatal(err)
	}
}

// publish stores the result of a request and shows it to the index.
func (w *world) publish(t *testing.T, body []byte, exit int) result.Location {
	t.Helper()
	loc := result.Location{
		Container: result.Container("noble", nil, false), Release: "noble", Architecture: "amd64", Package: "green",
		RunID: result.NewRunID(time.Date(2026, 11, 22, 1, 21, 27, 0, time.UTC), body, "amd64", "noble"),
	}
	outcome := result.Result{
		ExitCode: exit, Source: "green", Version: "1.12-1", Duration: 12 * time.Second, Triggers: []string{"green/1"}, Request: body,
	}
	var tar bytes.Buffer
	if err := outcome.WriteTar(&tar); err != nil {
		t.Fatal(err)
	}
	if err := w.store.CreateContainer(t.Context(), loc.Container, true); err != nil {
		t.Fatal(err)
	}
	content := bytes.NewReader(tar.Bytes())
	if err := w.store.Put(t.Context(), loc.Container, loc.Object(result.TarObject), content, content.Size(), store.Properties{}); err != nil {
		t.Fatal(err)
	}
	if added, err := w.index.Ingest(t.Context(), w.store, loc); err != nil || !added {
		t.Fatalf("ingest: %v, %v", added, err)
	}
	return loc
}

// TestWithTheRealSite: the command and the site mean the same by every address and every field.
func TestWithTheRealSite(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	w := newWorld(t, f)
	var loc result.Location
	steps := 0
	f.app.pause = func(ctx context.Context, _ time.Duration) error {
		body := []byte(f.broker.messages[0].Body)
		switch steps++; steps {
		case 1: // it waits
		case 2:
			w.depths.ready = 0
			w.tell(t, body, true)
		case 3:
			w.tell(t, body, false)
			loc = w.publish(t, body, 4)
		default:
			t.Error("the result is not found")
			return context.Canceled
		}
		return ctx.Err()
	}
	f.run(t, 4, waitOrder...)
	contains(t, "progress", f.err.String(), "green noble/amd64: queued, 1 request waits\n",
		"green noble/amd64: running 12s: autopkgtest [01:21:27]: test smoke\n", "green noble/amd64: stored\n")
	page := f.site.URL + "/packages/g/green/noble/amd64/" + string(loc.RunID)
	contains(t, "output", f.out.String(), "fail: green 1.12-1 on noble/amd64 with exit code 4 after 12s\n", page+"\n", "/log.gz\n")

	f.run(t, 0, "autopkgtest-cloud", "results", "--release", "noble", "--arch", "amd64", "--package", "green", "--limit", "5")
	contains(t, "results", f.out.String(), page, "1.12-1", "fail", "green/1")
	f.run(t, 0, "autopkgtest-cloud", "results", "--package", "blue")
	if lines := strings.Count(f.out.String(), "\n"); lines != 1 {
		t.Errorf("results of another package:\n%s", &f.out)
	}

	f.run(t, 0, "autopkgtest-cloud", "queues")
	contains(t, "queues", f.out.String(), "debci-noble-amd64  -        noble    amd64  0        1\n")
	w.tell(t, []byte("green\n"+`{"triggers":["green/1"],"requester":"joe"}`), true)
	f.run(t, 0, "autopkgtest-cloud", "running")
	contains(t, "running", f.out.String(), "green    noble    amd64  12s  "+handle+"  green/1   joe        autopkgtest [01:21:27]: test smoke\n")

	f.run(t, exitUsage, "autopkgtest-cloud", "results", "--limit", "5000")
	contains(t, "message", f.err.String(), "must be a number from 1 to 1000")
}

func TestLastLine(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ tail, want string }{
		"nothing yet":       {"", ""},
		"only the mark":     {"[... 🠉 HEAD 🠉 ... 🠋 TAIL 🠋 ...]\n", ""},
		"a log":             {"first\n[... 🠉 HEAD 🠉 ... 🠋 TAIL 🠋 ...]\nlast\n\n", "last"},
		"nothing but blank": {"\n \n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := (siteRun{LogTail: test.tail}).lastLine(); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
