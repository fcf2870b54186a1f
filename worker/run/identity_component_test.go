//go:build component

package run

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// What makes a request the same as another one, with a real broker and a real store; testbeds do not matter for it, so a stub
// stands in for autopkgtest. See identity_test.go for all that can happen, and the tests of the worker's program for a worker
// that is killed, and for a broker that takes a request away from a run.

// age makes a result one of another day: what is below its run id goes below one that is so much older.
func (c *cloud) age(t *testing.T, pkg string, id result.RunID, by time.Duration) result.RunID {
	t.Helper()
	when, err := id.Time()
	if err != nil {
		t.Fatal(err)
	}
	older := result.RunID(strings.Replace(string(id), second(when), second(when.Add(-by)), 1))
	at := result.Location{
		Container: result.Container(c.queue.Release, nil, false), Release: c.queue.Release, Architecture: c.queue.Architecture,
		Package: pkg, RunID: id,
	}
	to := at
	to.RunID = older
	for entry, err := range store.Walk(t.Context(), c.store, at.Container, at.Dir()+"/", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(entry.Name, at.Dir()+"/")
		copyObject(t, c.store, at.Container, entry.Name, to.Object(name))
		if err := c.store.Delete(t.Context(), at.Container, entry.Name); err != nil {
			t.Fatal(err)
		}
	}
	return older
}

// redelivered publishes a request that somebody had taken, and given back without a word.
func (c *cloud) redelivered(t *testing.T, text string) {
	t.Helper()
	c.request(t, text)
	taken, found, err := c.session.Get(t.Context(), c.queue.Name())
	if err != nil || !found {
		t.Fatalf("the request cannot be taken: %v, %v", found, err)
	}
	if err := taken.Requeue(); err != nil {
		t.Fatal(err)
	}
}

// announced counts the completion messages for each run id of a package, when no worker runs any more.
func (c *cloud) announced(t *testing.T, pkg string) map[result.RunID]int {
	t.Helper()
	counted := map[result.RunID]int{}
	for {
		d, found, err := c.session.Get(t.Context(), queue.CompletionListener.Queue)
		if err != nil {
			t.Fatal(err)
		}
		if !found {
			return counted
		}
		completion, err := queue.ParseCompletion(d.Body)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Ack(); err != nil {
			t.Fatal(err)
		}
		if completion.Location.Package == pkg {
			counted[completion.Location.RunID]++
		}
	}
}

// The same bytes yesterday and today are two requests, also when a worker that died had today's before.
func TestSameBytesADayLater(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	s := newStub(t)
	w := c.work(t, s, c.workerAccount(t), c.store, 1)
	c.request(t, body("green"))
	queuetest.Eventually(t, "yesterday's result is there", func() bool { return len(c.results(t, "green")) == 1 })
	c.drained(t, w)
	w.Drain()
	w.wait(t)
	yesterday := c.age(t, "green", c.results(t, "green")[0], 24*time.Hour)
	c.redelivered(t, body("green"))
	next := c.work(t, s, c.workerAccount(t), c.store, 1)
	queuetest.Eventually(t, "today's result is there", func() bool { return len(c.results(t, "green")) > 1 })
	c.drained(t, next)
	next.Drain()
	next.wait(t)
	if got := c.results(t, "green"); len(got) != 2 || got[0] != yesterday || s.count("green") != 2 {
		t.Errorf("results %v from %d runs, want %s and today's", got, s.count("green"), yesterday)
	}
}

// Two requests with the same bytes that wait together are two runs, in two slots of a worker and at two workers.
func TestEqualRequestsTogether(t *testing.T) {
	t.Parallel()
	for name, slots := range map[string][]int{"one after the other": {1}, "two slots": {2}, "two workers": {1, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			s := newStub(t)
			release := s.hold(t, "green")
			defer release()
			c.request(t, body("green"), body("green"))
			var all []*working
			together := 0
			for _, n := range slots {
				all = append(all, c.work(t, s, c.workerAccount(t), c.store, n))
				together += n
			}
			queuetest.Eventually(t, "all slots run it", func() bool { return s.count("green") == together })
			release()
			queuetest.Eventually(t, "two results", func() bool { return len(c.results(t, "green")) >= 2 })
			c.drained(t, all...)
			for _, w := range all {
				w.Drain()
				w.wait(t)
			}
			got := c.results(t, "green")
			if len(got) != 2 || s.count("green") != 2 {
				t.Fatalf("results %v from %d runs, want two from two", got, s.count("green"))
			}
			if told := c.announced(t, "green"); told[got[0]] != 1 || told[got[1]] != 1 || len(told) != 2 {
				t.Errorf("announced %v, want each of %v once", told, got)
			}
		})
	}
}

// The broker is lost for good with a request that was stored and not acknowledged, and whoever fills its replacement marks
// what had been handed out. A virtual host stands for the replacement: a client cannot tell it from another broker. Without
// the mark it would be a new request.
func TestRepublishedByAReplacement(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		headers       map[string]string
		results, runs int
	}{
		"marked":     {map[string]string{queue.RedeliveredHeader: "true"}, 1, 1},
		"not marked": {nil, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lost := newCloud(t)
			s := newStub(t)
			release := s.hold(t, "green")
			defer release()
			proxy, through := queuetest.Through(t, lost.workerAccount(t))
			first := lost.work(t, s, through, lost.store, 1)
			lost.request(t, body("green"))
			queuetest.Eventually(t, "the test runs", func() bool { return s.count("green") == 1 })
			proxy.Freeze() // the broker hears nothing any more
			release()
			queuetest.Eventually(t, "the result is there", func() bool { return len(lost.results(t, "green")) == 1 })
			proxy.Close()
			first.cancel()
			first.wait(t)

			replacement := newCloud(t)
			replacement.queue, replacement.images = lost.queue, lost.images
			replacement.broker.DeclareQueue(t, lost.queue.Name())
			err := replacement.session.PublishMessage(t.Context(), "", lost.queue.Name(),
				queue.Message{Body: []byte(body("green")), Headers: test.headers, Persistent: true})
			if err != nil {
				t.Fatal(err)
			}
			second := replacement.work(t, s, replacement.workerAccount(t), replacement.store, 1)
			queuetest.Eventually(t, "it is announced", func() bool {
				ready, _, err := replacement.session.Depth(t.Context(), queue.CompletionListener.Queue)
				return err == nil && ready > 0
			})
			replacement.drained(t, second)
			second.Drain()
			second.wait(t)
			got := replacement.results(t, "green")
			if len(got) != test.results || s.count("green") != test.runs {
				t.Errorf("results %v from %d runs, want %d from %d", got, s.count("green"), test.results, test.runs)
			}
			told := replacement.announced(t, "green")
			if len(told) != 1 || !slices.ContainsFunc(got, func(id result.RunID) bool { return told[id] == 1 }) {
				t.Errorf("announced %v, want one of %v", told, got)
			}
		})
	}
}

// copyObject copies what a store has under one name to another one.
func copyObject(t *testing.T, s store.Store, container, from, to string) {
	t.Helper()
	body, properties, err := s.Get(t.Context(), container, from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = body.Close() }()
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), container, to, bytes.NewReader(content), int64(len(content)), properties); err != nil {
		t.Fatal(err)
	}
}
