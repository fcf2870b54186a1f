//go:build component

package queue_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

const (
	normal = "debci-noble-amd64"
	huge   = "debci-huge-noble-amd64"
	ppa    = "debci-ppa-noble-amd64"
)

func dial(t *testing.T, broker config.Broker, options ...queue.Option) *queue.Session {
	t.Helper()
	options = append([]queue.Option{queue.WithRecheck(100 * time.Millisecond), queue.WithLog(slog.New(slog.DiscardHandler))}, options...)
	s, err := queue.Dial(t.Context(), broker, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func publish(t *testing.T, s *queue.Session, name string, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if err := s.Publish(t.Context(), "", name, []byte(body), true); err != nil {
			t.Fatal(err)
		}
	}
}

// receive takes one delivery, or fails.
func receive(t *testing.T, deliveries <-chan queue.Delivery) queue.Delivery {
	t.Helper()
	select {
	case d, open := <-deliveries:
		if !open {
			t.Fatal("the channel of deliveries was closed")
		}
		return d
	case <-time.After(30 * time.Second):
		t.Fatal("no delivery within 30 s")
	}
	panic("not reached")
}

// silence checks that nothing is delivered although something waits: the broker answers a later question first.
func silence(t *testing.T, s *queue.Session, deliveries <-chan queue.Delivery) {
	t.Helper()
	for range 5 {
		if _, _, err := s.Depth(t.Context(), normal); err != nil {
			t.Fatal(err)
		}
		select {
		case d := <-deliveries:
			t.Fatalf("delivered beyond the bound: %s %q", d.QueueName, d.Body)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestDeliverAndSettle(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareQueue(t, normal)
	s := dial(t, broker.Admin)
	publish(t, s, normal, "a", "b", "c")
	deliveries, err := s.Consume(t.Context(), []string{normal}, 10)
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := receive(t, deliveries), receive(t, deliveries), receive(t, deliveries)
	if want := (request.Queue{Release: "noble", Architecture: "amd64"}); a.Queue != want || a.QueueName != normal || a.Redelivered {
		t.Errorf("delivery: %+v", a)
	}
	if err := a.Ack(); err != nil {
		t.Error(err)
	}
	if err := b.Reject(); err != nil {
		t.Error(err)
	}
	if err := c.Requeue(); err != nil {
		t.Error(err)
	}
	again := receive(t, deliveries)
	if string(again.Body) != "c" || !again.Redelivered {
		t.Errorf("after a requeue: %q, redelivered %t", again.Body, again.Redelivered)
	}
	if err := again.Ack(); err != nil {
		t.Error(err)
	}
	for _, settle := range []func() error{a.Ack, a.Requeue, a.Reject} {
		if err := settle(); !errors.Is(err, queue.ErrSettled) {
			t.Errorf("settled twice: %v, want ErrSettled", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Err(); err != nil {
		t.Errorf("a closed session tells an error: %v", err)
	}
	ready, _, err := dial(t, broker.Admin).Depth(t.Context(), normal)
	if err != nil || ready != 0 {
		t.Errorf("left in the queue: %d, %v, want 0", ready, err)
	}
}

// The bound holds over all queues together, also when deliveries are settled one by one.
func TestPrefetchBoundsAllQueues(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	s := dial(t, broker.Admin)
	names := []string{normal, huge, ppa}
	for _, name := range names {
		broker.DeclareQueue(t, name)
		publish(t, s, name, "1", "2", "3", "4")
	}
	deliveries, err := s.Consume(t.Context(), names, 3)
	if err != nil {
		t.Fatal(err)
	}
	held := []queue.Delivery{receive(t, deliveries), receive(t, deliveries), receive(t, deliveries)}
	silence(t, s, deliveries)
	seen := map[string]int{}
	for range 9 {
		if err := held[0].Ack(); err != nil {
			t.Fatal(err)
		}
		seen[held[0].QueueName]++
		held = append(held[1:], receive(t, deliveries))
	}
	silence(t, s, deliveries)
	for _, d := range held {
		if err := d.Ack(); err != nil {
			t.Fatal(err)
		}
		seen[d.QueueName]++
	}
	if diff := cmp.Diff(map[string]int{normal: 4, huge: 4, ppa: 4}, seen); diff != "" {
		t.Errorf("messages per queue (-want +got):\n%s", diff)
	}
}

func TestStopConsumingKeepsDeliveriesValid(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareQueue(t, normal)
	s := dial(t, broker.Admin)
	publish(t, s, normal, "1", "2", "3", "4", "5")
	ctx, stop := context.WithCancel(t.Context())
	deliveries, err := s.Consume(ctx, []string{normal}, 2)
	if err != nil {
		t.Fatal(err)
	}
	held := []queue.Delivery{receive(t, deliveries)}
	stop()
	for d := range deliveries { // what was pushed before
		held = append(held, d)
	}
	if len(held) > 2 {
		t.Errorf("%d deliveries, at most 2 were asked for", len(held))
	}
	for _, d := range held {
		if err := d.Ack(); err != nil {
			t.Errorf("ack after consuming was stopped: %v", err)
		}
	}
	queuetest.Eventually(t, "no consumer is left", func() bool {
		_, consumers, err := s.Depth(t.Context(), normal)
		return err == nil && consumers == 0
	})
	// The same session may consume again, with another bound.
	deliveries, err = s.Consume(t.Context(), []string{normal}, 5)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 - len(held) {
		if err := receive(t, deliveries).Ack(); err != nil {
			t.Error(err)
		}
	}
}

func TestMissingQueueIsWaitedFor(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareQueue(t, normal)
	// A worker may not declare its queues.
	user := broker.User(t, "worker", "^$", "^(amq\\.default)$", "^debci-.*$")
	s := dial(t, user)
	deliveries, err := s.Consume(t.Context(), []string{normal, huge}, 4)
	if err != nil {
		t.Fatal(err)
	}
	if waiting := s.Waiting(); len(waiting) != 1 || waiting[huge] == "" {
		t.Errorf("waiting: %v, want only %s", waiting, huge)
	}
	publish(t, s, normal, "present")
	if d := receive(t, deliveries); d.QueueName != normal || d.Ack() != nil {
		t.Errorf("delivery %+v", d)
	}
	broker.DeclareQueue(t, huge)
	publish(t, s, huge, "appeared")
	d := receive(t, deliveries)
	if d.QueueName != huge || d.Ack() != nil {
		t.Errorf("delivery %+v", d)
	}
	// A queue that is deleted and made again, too.
	broker.DeleteQueue(t, huge)
	queuetest.Eventually(t, "the loss is noticed", func() bool { return s.Waiting()[huge] != "" })
	broker.DeclareQueue(t, huge)
	publish(t, s, huge, "again")
	if d := receive(t, deliveries); string(d.Body) != "again" || d.Ack() != nil {
		t.Errorf("delivery %+v", d)
	}
	if err := s.Err(); err != nil {
		t.Errorf("the session ended: %v", err)
	}
}

func TestQueueIsListenedToWhenReady(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareQueue(t, normal)
	s := dial(t, broker.Admin)
	publish(t, s, normal, "x")
	var mu sync.Mutex
	notReady := errors.New("no image")
	l, err := s.Listen(t.Context(), []string{normal}, 1, func(string) error {
		mu.Lock()
		defer mu.Unlock()
		return notReady
	})
	if err != nil {
		t.Fatal(err)
	}
	silence(t, s, l.Deliveries())
	if diff := cmp.Diff(map[string]string{normal: "no image"}, s.Waiting()); diff != "" {
		t.Errorf("waiting (-want +got):\n%s", diff)
	}
	mu.Lock()
	notReady = nil
	mu.Unlock()
	if err := receive(t, l.Deliveries()).Ack(); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareQueue(t, normal)
	wrong := broker.User(t, "wrong", "^$", "^$", "^$")
	if _, _, err := dial(t, wrong).Depth(t.Context(), normal); err != nil {
		t.Errorf("depth needs no permission: %v", err)
	}
	if _, err := dial(t, wrong).Consume(t.Context(), []string{normal}, 1); !errors.Is(err, queue.ErrRefused) {
		t.Errorf("consume without the right to read: %v, want ErrRefused", err)
	}
	if err := dial(t, wrong).DeclareExchanges(t.Context()); !errors.Is(err, queue.ErrRefused) {
		t.Errorf("declare exchanges without the right to configure: %v, want ErrRefused", err)
	}
	wrong.Password = "no"
	if _, err := queue.Dial(t.Context(), wrong); !errors.Is(err, queue.ErrRefused) {
		t.Errorf("dial with a wrong password: %v, want ErrRefused", err)
	}
	wrong.VHost = "nowhere"
	if _, err := queue.Dial(t.Context(), wrong); !errors.Is(err, queue.ErrRefused) {
		t.Errorf("dial to a missing vhost: %v, want ErrRefused", err)
	}
	if _, _, err := dial(t, broker.Admin).Depth(t.Context(), "debci-nowhere-amd64"); !errors.Is(err, queue.ErrNoQueue) {
		t.Errorf("depth of a missing queue: %v, want ErrNoQueue", err)
	}
}

// The rights that a worker gets (contracts: least rights) are enough for all that it does.
func TestWorkerRights(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareQueue(t, normal)
	publish(t, dial(t, broker.Admin), normal, "x")
	account := broker.User(t, "worker", `^teststatus\.fanout$`, `^(teststatus|testcomplete)\.fanout$`, `^debci-.*$`)
	worker := dial(t, account)
	err := worker.DeclareExchanges(t.Context())
	if !errors.Is(err, queue.ErrNoQueue) || !strings.Contains(fmt.Sprint(err), "testcomplete.fanout is missing, and the account "+
		account.Username+" may not make it: apply autopkgtest_broker") {
		t.Fatalf("without the exchange that somebody else makes: %v", err)
	}
	broker.DeclareFanout(t, queue.CompletionExchange)
	for range 2 { // also when they exist
		if err := worker.DeclareExchanges(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	collector := dial(t, broker.Admin)
	for _, l := range []queue.Listener{queue.CompletionListener, queue.StatusListener} {
		if err := collector.DeclareListener(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	both, err := collector.Consume(t.Context(), []string{queue.CompletionListener.Queue, queue.StatusListener.Queue}, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, exchange := range []string{queue.StatusExchange, queue.CompletionExchange} {
		if err := worker.Publish(t.Context(), exchange, "", []byte(exchange), true); err != nil {
			t.Error(err)
		}
	}
	var heard []string
	for range 2 {
		d := receive(t, both)
		heard = append(heard, d.QueueName+" "+string(d.Body))
		if err := d.Ack(); err != nil {
			t.Error(err)
		}
	}
	slices.Sort(heard)
	if diff := cmp.Diff([]string{"complete-listener testcomplete.fanout", "running-listener teststatus.fanout"}, heard); diff != "" {
		t.Errorf("heard (-want +got):\n%s", diff)
	}
	deliveries, err := worker.Consume(t.Context(), []string{normal}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := receive(t, deliveries).Ack(); err != nil {
		t.Error(err)
	}
}
