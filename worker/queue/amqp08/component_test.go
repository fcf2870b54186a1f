//go:build component

package amqp08_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/amqp08"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
)

const requests = "debci-noble-amd64"

func dial(t *testing.T, account config.Broker) *amqp08.Connection {
	t.Helper()
	c, err := amqp08.Dial(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// refused expects a 403, which leaves the connection of use.
func refused(t *testing.T, what string, err error) {
	t.Helper()
	var refusal *amqp08.Refusal
	if !errors.As(err, &refusal) || refusal.Code != amqp08.AccessRefused {
		t.Errorf("%s: %v, want a refusal with %d", what, err, amqp08.AccessRefused)
	}
}

// TestRequesterForReal: what the gatekeeper sends arrives as it sends it, and its rights end there.
func TestRequesterForReal(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareQueue(t, requests)
	c := dial(t, broker.User(t, "requester", "^$", `^amq\.default$`, "^$"))
	bodies := []string{"green\n{\"triggers\": [\"green/2.0-1\"]}", "blü"}
	for _, body := range bodies {
		if err := c.Publish(t.Context(), requests, []byte(body)); err != nil {
			t.Fatal(err)
		}
		refused(t, "get", c.Get(t.Context(), requests))
		refused(t, "declare", c.Declare(t.Context(), requests))
		refused(t, "purge", c.Purge(t.Context(), requests))
	}
	if err := c.Publish(t.Context(), "debci-noble-nowhere", []byte("x")); err != nil {
		t.Errorf("to a queue that is not there: %v; the dialect has no word for it", err)
	}

	connection, err := amqp.Dial(broker.Admin.URI().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range bodies {
		d, found, err := channel.Get(requests, true)
		if err != nil || !found {
			t.Fatalf("nothing has arrived: %v", err)
		}
		got := []any{string(d.Body), d.ContentEncoding, d.ContentType, int(d.DeliveryMode), len(d.Headers), d.Exchange, d.RoutingKey}
		want := []any{body, "UTF-8", "", 2, 0, "", requests}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("message (-want +got):\n%s", diff)
		}
	}
}

// TestRefusedForReal: a publish without the right, of which amqplib notices nothing, is noticed here.
func TestRefusedForReal(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareQueue(t, requests)
	powerless := broker.User(t, "powerless", "^$", "^$", "^$")
	c := dial(t, powerless)
	for range 2 {
		refused(t, "publish", c.Publish(t.Context(), requests, []byte("green")))
	}

	wrong, elsewhere := powerless, powerless
	wrong.Password = "wrong"
	elsewhere.VHost = "nowhere"
	for name, account := range map[string]config.Broker{"a wrong password": wrong, "a virtual host that is not there": elsewhere} {
		if _, err := amqp08.Dial(t.Context(), account); !errors.Is(err, amqp08.ErrLogin) {
			t.Errorf("%s: %v, want ErrLogin", name, err)
		}
	}
}

// TestMightyForReal: who may do more is not refused, so that the checks above prove something.
func TestMightyForReal(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	c := dial(t, broker.Admin)
	for what, err := range map[string]error{
		"declare":          c.Declare(t.Context(), requests),
		"get from nothing": c.Get(t.Context(), requests),
		"publish":          c.Publish(t.Context(), requests, []byte("green")),
		"get":              c.Get(t.Context(), requests),
		"purge":            c.Purge(t.Context(), requests),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}
