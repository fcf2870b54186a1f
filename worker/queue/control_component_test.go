//go:build component

package queue_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
)

const handle = "20261125-152251-ab12cd34"

// controlled is a broker with the exchanges for commands, and users with just the rights that they take.
type controlled struct {
	*queuetest.Broker
	operator, worker config.Broker
}

func newControlled(t *testing.T) controlled {
	t.Helper()
	b := queuetest.New(t)
	b.DeclareFanout(t, queue.ControlExchange)
	b.DeclareFanout(t, queue.AnswersExchange)
	return controlled{
		Broker:   b,
		operator: b.User(t, "operator", `^amq\.gen-.*$`, `^(amq\.gen-.*|autopkgtest\.control)$`, `^(amq\.gen-.*|autopkgtest\.answers)$`),
		worker:   b.User(t, "worker", `^amq\.gen-.*$`, `^(amq\.gen-.*|autopkgtest\.answers)$`, `^(amq\.gen-.*|autopkgtest\.control)$`),
	}
}

// hears is a worker that has some requests, and notes the orders that it gets.
func (c controlled) hears(t *testing.T, name string, has ...string) <-chan queue.Order {
	t.Helper()
	session := dial(t, c.worker)
	orders, ready := make(chan queue.Order, 100), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = session.HearOrders(ctx, func() { close(ready) }, func(o queue.Order) {
			orders <- o
			a := queue.Answer{Handle: o.Handle, Worker: name, Known: slices.Contains(has, o.Handle)}
			a.OK = a.Known
			if err := session.Answer(ctx, o, a); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-ended })
	select {
	case <-ready:
	case <-time.After(30 * time.Second):
		t.Fatal("the worker hears nothing")
	}
	return orders
}

func order(t *testing.T, orders <-chan queue.Order) queue.Order {
	t.Helper()
	select {
	case o := <-orders:
		return o
	case <-time.After(30 * time.Second):
		t.Fatal("no order within 30 s")
	}
	panic("not reached")
}

// A command reaches every worker with the name of who gave it, and every worker answers him alone.
func TestCommandAndAnswers(t *testing.T) {
	t.Parallel()
	c := newControlled(t)
	first, second := c.hears(t, "first"), c.hears(t, "second", handle)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	elsewhere, err := dial(t, c.operator).Ask(ctx, []queue.Command{{Verb: queue.Requeue, Handle: "other"}})
	if err != nil {
		t.Fatal(err)
	}
	answers, err := dial(t, c.operator).Ask(ctx, []queue.Command{{Verb: queue.Cancel, Handle: handle}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]queue.Answer{}
	for range 2 {
		a := <-answers
		got[a.Worker] = a
	}
	want := map[string]queue.Answer{
		"first": {Handle: handle, Worker: "first"}, "second": {Handle: handle, Worker: "second", Known: true, OK: true},
	}
	if got["first"] != want["first"] || got["second"] != want["second"] {
		t.Errorf("answers %+v, want %+v", got, want)
	}
	for range 2 {
		if a := <-elsewhere; a.Handle != "other" || a.Known {
			t.Errorf("the other operator is told %+v", a)
		}
	}
	for _, orders := range []<-chan queue.Order{first, second} {
		for range 2 {
			if o := order(t, orders); o.Err != nil || o.By != c.operator.Username {
				t.Errorf("order %+v, want one by %s", o, c.operator.Username)
			}
		}
	}
	cancel()
	for range answers {
	}
	for range elsewhere {
	}
	queuetest.Eventually(t, "the operators' queues are gone", func() bool { return c.queues(t) == 2 })
}

// queues counts what there is.
func (c controlled) queues(t *testing.T) int {
	t.Helper()
	return len(c.Names(t, "/api/queues/"+c.Admin.VHost))
}

func TestCommandTrouble(t *testing.T) {
	t.Parallel()
	bare := queuetest.New(t)
	c := newControlled(t)
	requester := c.User(t, "requester", "^$", `^amq\.default$`, "^$")
	command := []queue.Command{{Verb: queue.Cancel, Handle: handle}}
	for name, test := range map[string]struct {
		account config.Broker
		command []queue.Command
		want    error
	}{
		"no worker listens":     {c.operator, command, queue.ErrUnrouted},
		"nothing is deployed":   {bare.Admin, command, queue.ErrNoQueue},
		"a requester":           {requester, command, queue.ErrRefused},
		"a worker":              {c.worker, command, queue.ErrRefused},
		"not a command, at all": {c.operator, []queue.Command{{Verb: "restart", Handle: handle}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := dial(t, test.account)
			_, err := s.Ask(t.Context(), test.command)
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if s.Err() != nil {
				t.Errorf("the session ended: %v", s.Err())
			}
		})
	}
	s := dial(t, bare.Admin)
	if err := s.HearOrders(t.Context(), func() { t.Error("something is heard") }, nil); !errors.Is(err, queue.ErrNoQueue) || s.Err() != nil {
		t.Errorf("without the exchange: %v, %v", err, s.Err())
	}
}

// A requester reaches any queue by its name. A command that comes that way is not obeyed.
func TestCommandPastTheExchange(t *testing.T) {
	t.Parallel()
	c := newControlled(t)
	orders := c.hears(t, "first", handle)
	requester := dial(t, c.User(t, "requester", "^$", `^amq\.default$`, "^$"))
	body, err := queue.Command{Verb: queue.Cancel, Handle: handle}.Body()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range c.Names(t, "/api/queues/"+c.Admin.VHost) {
		if err := requester.PublishMessage(t.Context(), "", name, queue.Message{Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	if o := order(t, orders); o.Err == nil {
		t.Errorf("it is obeyed: %+v", o)
	}
}

// Whoever repairs the exchange takes the workers' bindings away. They notice.
func TestExchangeMadeAnew(t *testing.T) {
	t.Parallel()
	c := newControlled(t)
	c.hears(t, "first", handle)
	c.Do(t, http.MethodDelete, "/api/exchanges/"+c.Admin.VHost+"/"+queue.ControlExchange, nil)
	c.DeclareFanout(t, queue.ControlExchange)
	operator := dial(t, c.operator)
	queuetest.Eventually(t, "the worker answers again", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		answers, err := operator.Ask(ctx, []queue.Command{{Verb: queue.Cancel, Handle: handle}})
		if err != nil {
			return false
		}
		a, open := <-answers
		return open && a.OK
	})
}
