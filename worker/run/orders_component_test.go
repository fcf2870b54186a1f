//go:build component

package run

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// operator is an account with the rights to command workers, and no more.
func (c *cloud) operator(t *testing.T) config.Broker {
	t.Helper()
	c.broker.DeclareFanout(t, queue.ControlExchange)
	c.broker.DeclareFanout(t, queue.AnswersExchange)
	return c.broker.User(t, "operator", `^amq\.gen-.*$`, `^(amq\.gen-.*|autopkgtest\.control)$`, `^(amq\.gen-.*|autopkgtest\.answers)$`)
}

// tell sends a command to all workers and returns the answer of the one that has it, if it comes.
func tell(t *testing.T, operator *queue.Session, verb queue.Verb, handle string) (queue.Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	answers, err := operator.Ask(ctx, []queue.Command{{Verb: verb, Handle: handle}})
	if err != nil {
		return queue.Answer{}, err
	}
	last := queue.Answer{}
	for a := range answers {
		if last = a; a.Known {
			return a, nil
		}
	}
	return last, nil
}

// commandable waits until all workers hear commands, and returns the operator's session.
func (c *cloud) commandable(t *testing.T, operator config.Broker, workers int) *queue.Session {
	t.Helper()
	session, err := queue.Dial(t.Context(), operator)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	queuetest.Eventually(t, "the workers hear commands", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		answers, err := session.Ask(ctx, []queue.Command{{Verb: queue.Cancel, Handle: "nobodys"}})
		if err != nil && !errors.Is(err, queue.ErrUnrouted) {
			t.Fatal(err)
		}
		heard := 0
		for err == nil && heard < workers {
			if _, open := <-answers; !open {
				break
			}
			heard++
		}
		return heard == workers
	})
	return session
}

// announcedHandle waits until a package's test runs, and returns its handle from what the worker tells the world.
func announcedHandle(t *testing.T, heard <-chan queue.Delivery, pkg string) string {
	t.Helper()
	for deadline := time.After(time.Minute); ; {
		select {
		case d := <-heard:
			if err := d.Ack(); err != nil {
				t.Fatal(err)
			}
			if d.QueueName != queue.StatusListener.Queue {
				continue
			}
			status, err := queue.StatusOf(d)
			if err != nil {
				t.Fatal(err)
			}
			if status.Package == pkg && status.Running {
				return status.Handle
			}
		case <-deadline:
			t.Fatal("no status message within a minute")
		}
	}
}

// An operator cancels a running test: its request ends in a readable result that says who did it.
func TestCancelByAnOperator(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	operator := c.operator(t)
	heard := c.listen(t)
	s := newStub(t)
	release := s.hold(t, "green")
	defer release()
	w := c.work(t, s, c.workerAccount(t), c.store, 1)
	other := c.work(t, s, c.workerAccount(t), c.store, 1)
	session := c.commandable(t, operator, 2)
	c.request(t, body("green"))
	handle := announcedHandle(t, heard, "green")
	answer, err := tell(t, session, queue.Cancel, handle)
	if err != nil || !answer.OK || answer.Worker == "" {
		t.Fatalf("answered %+v, %v", answer, err)
	}
	queuetest.Eventually(t, "the result is there", func() bool { return len(c.results(t, "green")) == 1 })
	c.drained(t, w, other)
	at := result.Location{
		Container: result.Container(c.queue.Release, nil, false), Release: c.queue.Release, Architecture: c.queue.Architecture,
		Package: "green", RunID: c.results(t, "green")[0],
	}
	tar, err := result.ReadTar(bytes.NewReader(c.read(t, at, result.TarObject)))
	if err != nil || tar.ExitCode != exitTmpfail || !strings.Contains(string(tar.Summary), "cancelled by "+operator.Username) {
		t.Errorf("exit code %d, summary %q, %v", tar.ExitCode, tar.Summary, err)
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(c.read(t, at, result.LogObject)))
	if err != nil {
		t.Fatal(err)
	}
	if log, err := io.ReadAll(unpacked); err != nil || !strings.Contains(string(log), operator.Username) {
		t.Errorf("log: %s, %v", log, err)
	}
	if answer, err := tell(t, session, queue.Cancel, handle); err != nil || answer.Known {
		t.Errorf("when it is over: %+v, %v", answer, err)
	}
}

// An operator puts a running test back: nothing is published, and it runs once more.
func TestRequeueByAnOperator(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	operator := c.operator(t)
	heard := c.listen(t)
	s := newStub(t)
	release := s.hold(t, "green")
	defer release()
	w := c.work(t, s, c.workerAccount(t), c.store, 1)
	session := c.commandable(t, operator, 1)
	c.request(t, body("green"))
	handle := announcedHandle(t, heard, "green")
	answer, err := tell(t, session, queue.Requeue, handle)
	if err != nil || !answer.OK {
		t.Fatalf("answered %+v, %v", answer, err)
	}
	queuetest.Eventually(t, "it runs once more", func() bool { return s.count("green") == 2 })
	if got := c.results(t, "green"); len(got) != 0 {
		t.Errorf("published: %v", got)
	}
	release()
	queuetest.Eventually(t, "the result is there", func() bool { return len(c.results(t, "green")) == 1 })
	c.drained(t, w)
}

// read fetches an object of a result as it is stored.
func (c *cloud) read(t *testing.T, at result.Location, object string) []byte {
	t.Helper()
	body, _, err := c.store.Get(t.Context(), at.Container, at.Object(object))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil {
		t.Fatal(err)
	}
	return content
}
