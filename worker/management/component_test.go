//go:build component

package management

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
)

// realBroker is the broker that `make test` starts, and the account of its administrator.
func realBroker(t testing.TB) (*Client, config.Broker) {
	t.Helper()
	management, uri := os.Getenv("AUTOPKGTEST_TEST_MANAGEMENT"), os.Getenv("AUTOPKGTEST_TEST_AMQP")
	if management == "" || uri == "" {
		t.Fatal("AUTOPKGTEST_TEST_MANAGEMENT and AUTOPKGTEST_TEST_AMQP are not set: this test needs a real broker, `make test` starts one")
	}
	account, err := config.ParseBroker(uri)
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(management)
	if err != nil {
		t.Fatal("AUTOPKGTEST_TEST_MANAGEMENT is no URL")
	}
	m, err := New(address.Scheme+"://"+address.Host, account.Username, account.Password)
	if err != nil {
		t.Fatal(err)
	}
	return m, account
}

// realQueue makes a request queue of the test's own.
func realQueue(t *testing.T, m *Client) string {
	t.Helper()
	name := "debci-" + strings.ToLower(rand.Text()[:10]) + "-amd64"
	if err := m.DeclareQueue(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.DeleteQueue(context.Background(), name, false) }) // the test's context is over by then
	return name
}

func openChannel(t *testing.T, account config.Broker) *amqp.Channel {
	t.Helper()
	connection, err := amqp.Dial(account.URI().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return channel
}

// send publishes a message and waits for its confirm.
func send(t *testing.T, channel *amqp.Channel, queue string, message amqp.Publishing) {
	t.Helper()
	if err := channel.Confirm(false); err != nil {
		t.Fatal(err)
	}
	confirmation, err := channel.PublishWithDeferredConfirmWithContext(t.Context(), "", queue, true, false, message)
	if err != nil {
		t.Fatal(err)
	}
	if !confirmation.Wait() {
		t.Fatal("the broker did not take a message")
	}
}

// TestQueueLoadsForReal: what the broker knows is told, what it does not know is not made up.
func TestQueueLoadsForReal(t *testing.T) {
	t.Parallel()
	m, account := realBroker(t)
	stamped, plain := realQueue(t, m), realQueue(t, m)
	channel := openChannel(t, account)
	past := sampling{age: 5 * time.Minute, step: 5 * time.Second}
	load := func(name string) QueueLoad {
		t.Helper()
		loads, err := m.queueLoads(t.Context(), past)
		if err != nil {
			t.Fatal(err)
		}
		return loads[name]
	}
	if l := load(plain); l.Messages != 0 || !l.Oldest.IsZero() || !l.Empty.IsZero() {
		t.Errorf("an empty queue: %+v", l)
	}
	// The node must have been up for two samples before one counts.
	queuetest.Eventually(t, "the node has been up for a while", func() bool {
		up, err := m.uptimes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range up {
			return d > 6*past.step
		}
		return false
	})
	begin := time.Now()
	hourAgo := begin.Add(-time.Hour).Truncate(time.Second)
	send(t, channel, stamped, amqp.Publishing{Timestamp: hourAgo, DeliveryMode: amqp.Persistent})
	send(t, channel, stamped, amqp.Publishing{DeliveryMode: amqp.Persistent})
	send(t, channel, plain, amqp.Publishing{DeliveryMode: amqp.Persistent})
	send(t, channel, plain, amqp.Publishing{DeliveryMode: amqp.Persistent})
	if _, found, err := channel.Get(plain, false); err != nil || !found {
		t.Fatalf("nothing to take: %v", err)
	}
	if _, err := channel.Consume(stamped, "", false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	// The counts are there at once, whatever the statistics say.
	if l := load(plain); l.Messages != 2 || l.Running != 1 {
		t.Errorf("at once: %+v, want 2 messages, 1 of them running", l)
	}
	queuetest.Eventually(t, "the broker tells the oldest message's time", func() bool {
		l := load(stamped)
		return l.Oldest.Equal(hourAgo) && l.Consumers == 1 && l.Running == 2
	})
	queuetest.Eventually(t, "the broker tells when the queue was empty", func() bool {
		l := load(plain)
		return !l.Empty.IsZero()
	})
	t.Logf("told after %s", time.Since(begin).Round(time.Second))
	l := load(plain)
	if !l.Oldest.IsZero() {
		t.Errorf("the age of messages that carry no time is told: %v", l.Oldest)
	}
	if age := begin.Sub(l.Empty); age < -past.step || age > 3*past.step {
		t.Errorf("empty at %v, and the first message was published at %v", l.Empty, begin)
	}
}
