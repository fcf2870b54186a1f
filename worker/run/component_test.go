//go:build component

package run

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// A request, as the gatekeeper sends it, becomes a result that everybody can read, and a message that tells of it.
func TestRequestToResult(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	heard := c.listen(t)
	w := c.work(t, newStub(t), c.workerAccount(t), c.store, 2)
	c.request(t, body("green"))
	var completion queue.Completion
	var states []bool
	for completion.Location.RunID == "" || len(states) < 2 || states[len(states)-1] {
		select {
		case d := <-heard:
			if err := d.Ack(); err != nil {
				t.Fatal(err)
			}
			var err error
			if d.QueueName == queue.CompletionListener.Queue {
				completion, err = queue.ParseCompletion(d.Body)
			} else {
				var status queue.Status
				status, err = queue.ParseStatus(d.Body)
				states = append(states, status.Running)
			}
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("heard only %+v, %v within a minute", completion, states)
		}
	}
	if diff := cmp.Diff([]bool{true, false}, states); diff != "" {
		t.Errorf("status messages (-want +got):\n%s", diff)
	}
	c.drained(t, w)

	// As the gatekeeper reads it: anonymously, the path as it is.
	base := c.account.StorageURL + "/" + completion.Location.Container + "/"
	read := func(path string) ([]byte, http.Header) {
		answer, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		content, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("GET %s: %s, %v", path, answer.Status, err)
		}
		return content, answer.Header
	}
	prefix := result.PackagePrefix(c.queue.Release, "amd64", "green")
	listing, _ := read("?delimiter=%40&prefix=" + strings.ReplaceAll(prefix, "/", "%2F"))
	if got := strings.TrimSpace(string(listing)); got != completion.Location.Dir() {
		t.Errorf("listed %q, announced %q", got, completion.Location.Dir())
	}
	raw, _ := read(completion.Location.Object(result.TarObject))
	stored, err := result.ReadTar(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if stored.Version != "1:2-3" || stored.ExitCode != 0 || !cmp.Equal(stored.Triggers, []string{"green/1:2-3"}) || string(stored.Request) != body("green") {
		t.Errorf("result: %+v", stored)
	}
	log, header := read(completion.Location.Object(result.LogObject))
	if got := string(log); got != "autopkgtest [01:02:03]: starting\nthe end\n" {
		t.Errorf("log, as a client that unpacks it sees it: %q", got)
	}
	if got := header.Get("Content-Type"); got != "text/plain; charset=UTF-8" {
		t.Errorf("type of the log: %s", got)
	}
	w.Drain()
	w.wait(t)
}

// The broker closes all connections in the middle of a run: one result, whoever gets the request next.
func TestConnectionsClosedDuringARun(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d workers", workers), func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			s := newStub(t)
			release := s.hold(t, "green")
			defer release()
			var all []*working
			for range workers {
				all = append(all, c.work(t, s, c.workerAccount(t), c.store, 1))
			}
			c.request(t, body("green"))
			queuetest.Eventually(t, "the test runs", func() bool { return s.count("green") > 0 })
			c.broker.CloseConnections(t, workers+1)
			fresh, err := queue.Dial(t.Context(), c.broker.Admin)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = fresh.Close() }()
			c.session = fresh
			queuetest.Eventually(t, "all workers are back", func() bool {
				return c.depth(t) == 0 && !slices.ContainsFunc(all, func(w *working) bool { return w.broker.now() == nil })
			})
			c.request(t, body("blue"))
			release()
			queuetest.Eventually(t, "both are done", func() bool {
				return len(c.results(t, "green")) > 0 && len(c.results(t, "blue")) > 0
			})
			c.drained(t, all...)
			for _, pkg := range []string{"green", "blue"} {
				if got := c.results(t, pkg); len(got) != 1 {
					t.Errorf("%s: results %v, want one", pkg, got)
				}
			}
			if s.count("green") != 1 {
				t.Errorf("the test ran %d times, want once", s.count("green"))
			}
		})
	}
}

// A worker stores the result and dies before it can announce and acknowledge it.
func TestStoredNotAcknowledged(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	s := newStub(t)
	proxy, through := queuetest.Through(t, c.workerAccount(t))
	stored, confirmed := make(chan struct{}), make(chan struct{})
	watched := &hookedStore{Store: c.store}
	release := s.hold(t, "green")
	defer release()
	first := c.work(t, s, through, watched, 1)
	c.request(t, body("green"))
	queuetest.Eventually(t, "the test runs", func() bool { return s.count("green") > 0 })
	once := sync.OnceFunc(func() { close(confirmed) })
	watched.hook(func(call, object string) error {
		select {
		case <-stored: // whatever is asked next is asked by a worker that knows that its result is stored
			once()
			return nil
		default:
		}
		if call == "put" && strings.HasSuffix(object, "/result.tar") {
			proxy.Freeze() // from here on, the broker hears nothing
			close(stored)
		}
		return nil
	})
	release()
	<-stored
	queuetest.Eventually(t, "the result is there", func() bool { return len(c.results(t, "green")) == 1 })
	<-confirmed
	proxy.Cut()
	first.cancel()
	first.wait(t)

	second := c.work(t, s, c.workerAccount(t), c.store, 1)
	queuetest.Eventually(t, "the request is gone", func() bool { return c.depth(t) == 0 && len(second.Running()) == 0 })
	heard := c.listen(t)
	for completions := 0; completions == 0; {
		select {
		case d := <-heard:
			if d.QueueName == queue.CompletionListener.Queue {
				completions++
			}
		case <-time.After(time.Minute):
			t.Fatal("no completion message within a minute")
		}
	}
	if got := c.results(t, "green"); len(got) != 1 || s.count("green") != 1 {
		t.Errorf("results %v from %d runs, want one from one", got, s.count("green"))
	}
}

// SIGTERM's two ends: what runs is finished, what waits goes back, and then somebody else does it.
func TestDrainAndHandOver(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	s := newStub(t)
	release := s.hold(t, "green")
	defer release()
	first := c.work(t, s, c.workerAccount(t), c.store, 1)
	c.request(t, body("green"), body("blue"), body("red"))
	queuetest.Eventually(t, "the test runs", func() bool { return s.count("green") > 0 })
	first.Drain()
	queuetest.Eventually(t, "what waits is back in the queue", func() bool { return c.depth(t) == 2 })
	release()
	first.wait(t)
	if got := c.results(t, "green"); len(got) != 1 {
		t.Errorf("results of the running test: %v, want one", got)
	}
	if s.count("blue") != 0 || c.depth(t) != 2 {
		t.Errorf("blue ran %d times, %d wait; want 0 and 2", s.count("blue"), c.depth(t))
	}

	// Without patience, the running one goes back as well.
	release = s.hold(t, "blue")
	second := c.work(t, s, c.workerAccount(t), c.store, 1)
	queuetest.Eventually(t, "the test runs", func() bool { return s.count("blue") > 0 })
	second.cancel()
	second.wait(t)
	queuetest.Eventually(t, "both are back in the queue", func() bool { return c.depth(t) == 2 })
	if got := c.results(t, "blue"); len(got) != 0 {
		t.Errorf("results of a test that was killed: %v", got)
	}
	release()
	third := c.work(t, s, c.workerAccount(t), c.store, 2)
	queuetest.Eventually(t, "all are done", func() bool { return len(c.results(t, "blue")) == 1 && len(c.results(t, "red")) == 1 })
	c.drained(t, third)
}

// No more tests run than there are slots, and all slots serve one full queue.
func TestSlotsServeAFullQueue(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	s := newStub(t)
	release := s.hold(t, "green")
	defer release()
	var bodies []string
	for i := range 10 {
		bodies = append(bodies, fmt.Sprintf("green\n{\"triggers\": [\"green/%d\"]}", i))
	}
	c.request(t, bodies...)
	w := c.work(t, s, c.workerAccount(t), c.store, 4)
	queuetest.Eventually(t, "four tests run", func() bool { return s.count("green") == 4 })
	if got := c.depth(t); got != 6 {
		t.Errorf("%d requests wait at the broker, want 6: the worker holds what it cannot run", got)
	}
	release()
	queuetest.Eventually(t, "ten results", func() bool { return len(c.results(t, "green")) == 10 })
	c.drained(t, w)
	ascending(t, c.results(t, "green"))
	if s.most != 4 {
		t.Errorf("%d tests at a time, want 4", s.most)
	}
}

// A request that cannot be read must not block its queue, and one whose testbed fails is tried three times.
func TestBadRequestsDoNotBlock(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	s := newStub(t)
	w := c.work(t, s, c.workerAccount(t), c.store, 1)
	c.request(t, "green\nnot JSON", "\xff\xfe", body("broken"), body("bad"))
	queuetest.Eventually(t, "two results", func() bool { return len(c.results(t, "broken")) == 1 && len(c.results(t, "bad")) == 1 })
	c.drained(t, w)
	if s.count("broken") != 3 || s.count("green") != 0 {
		t.Errorf("broken ran %d times, green %d; want 3 and 0", s.count("broken"), s.count("green"))
	}
}

// New queues and slots while the worker runs: the session stays, what runs is not touched.
func TestReconfigureConsumesOtherQueues(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	s := newStub(t)
	release := s.hold(t, "green")
	defer release()
	w := c.work(t, s, c.workerAccount(t), c.store, 1)
	c.request(t, body("green"))
	queuetest.Eventually(t, "the test runs", func() bool { return s.count("green") > 0 })
	huge := c.queue
	huge.Context = request.Huge
	c.broker.DeclareQueue(t, huge.Name())
	if err := w.Reconfigure([]request.Queue{c.queue, huge}, 2); err != nil {
		t.Fatal(err)
	}
	if err := c.session.Publish(t.Context(), "", huge.Name(), []byte(body("blue")), true); err != nil {
		t.Fatal(err)
	}
	queuetest.Eventually(t, "the new queue's request is done", func() bool { return len(c.results(t, "blue")) == 1 })
	release()
	queuetest.Eventually(t, "the old one's, too", func() bool { return len(c.results(t, "green")) == 1 })
	c.drained(t, w)
	if s.count("green") != 1 {
		t.Errorf("the running test was begun %d times", s.count("green"))
	}
}
