//go:build component

package run

import (
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
)

// rejectedRequests takes requests from the queue of rejected ones.
func (c *cloud) rejectedRequests(t *testing.T) <-chan queue.Delivery {
	t.Helper()
	session, err := queue.Dial(t.Context(), c.broker.Admin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	found, err := session.Consume(t.Context(), []string{queue.RejectedQueue}, 100)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (c *cloud) deployRejected(t *testing.T) {
	t.Helper()
	c.broker.DeclareQueue(t, queue.RejectedQueue)
	c.broker.DeclareFanout(t, queue.RejectedExchange, queue.RejectedQueue)
}

func next(t *testing.T, deliveries <-chan queue.Delivery) queue.Delivery {
	t.Helper()
	select {
	case d := <-deliveries:
		if err := d.Ack(); err != nil {
			t.Fatal(err)
		}
		return d
	case <-time.After(time.Minute):
		t.Fatal("nothing within a minute")
	}
	panic("not reached")
}

// A body that is no request ends in the queue for those, its reason in a header, and others are served meanwhile.
func TestRejectedRequest(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.deployRejected(t)
	w := c.work(t, newStub(t), c.workerAccount(t), c.store, 1)
	const malformed = "green\n{\"triggers\": 3}"
	c.request(t, malformed, body("blue"))
	d := next(t, c.rejectedRequests(t))
	if string(d.Body) != malformed || !strings.Contains(d.Header(queue.ReasonHeader), "triggers") ||
		d.Header(queue.QueueHeader) != c.queue.Name() || d.Header(queue.RejectedWorkerHeader) == "" {
		t.Errorf("kept %q, because %q, from %q", d.Body, d.Header(queue.ReasonHeader), d.Header(queue.QueueHeader))
	}
	if _, err := time.Parse(time.RFC3339, d.Header(queue.TimeHeader)); err != nil {
		t.Error(err)
	}
	queuetest.Eventually(t, "the next request is done", func() bool { return len(c.results(t, "blue")) == 1 })
	c.drained(t, w)
}

// Where the exchange, or the queue behind it, has not been deployed, the request lies in a folder until it has.
func TestRejectedRequestWithoutExchange(t *testing.T) {
	t.Parallel()
	for name, half := range map[string]func(*testing.T, *cloud){
		"no exchange":                func(*testing.T, *cloud) {},
		"an exchange without queues": func(t *testing.T, c *cloud) { c.broker.DeclareFanout(t, queue.RejectedExchange) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			half(t, c)
			w := c.work(t, newStub(t), c.workerAccount(t), c.store, 1)
			c.request(t, "green\n{", body("blue"))
			queuetest.Eventually(t, "the next request is done", func() bool { return len(c.results(t, "blue")) == 1 })
			c.drained(t, w)
			if lying := savedRejects(w.rejects); len(lying) != 1 {
				t.Fatalf("in the folder: %v, want one request", lying)
			}
			c.deployRejected(t)
			c.broker.CloseConnections(t, 2) // the next session looks at once; without that, it takes a minute
			d := next(t, c.rejectedRequests(t))
			if string(d.Body) != "green\n{" || d.Header(queue.QueueHeader) != c.queue.Name() {
				t.Errorf("published %q from %q", d.Body, d.Header(queue.QueueHeader))
			}
			queuetest.Eventually(t, "the folder is empty", func() bool { return len(savedRejects(w.rejects)) == 0 })
		})
	}
}
