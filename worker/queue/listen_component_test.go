//go:build component

package queue_test

import (
	"context"
	"errors"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
)

func always(string) error { return nil }

// waiting checks how many messages the broker has left, now and when it has had time to push more.
func waiting(t *testing.T, s *queue.Session, name string, want int) {
	t.Helper()
	for range 20 {
		if ready, _, err := s.Depth(t.Context(), name); err != nil || ready != want {
			t.Fatalf("%d messages wait in %s (%v), want %d", ready, name, err, want)
		}
	}
}

// over checks that a listening has ended and delivered nothing more.
func over(t *testing.T, l *queue.Listening) {
	t.Helper()
	if d, open := <-l.Deliveries(); open {
		t.Fatalf("delivered %q beyond the room", d.Body)
	}
}

// A listening takes as many messages as there is room for, and none in the place of one that is settled: also when
// messages are held that were asked for.
func TestListenTakesWhatThereIsRoomFor(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareQueue(t, normal)
	broker.DeclareQueue(t, huge)
	s := dial(t, broker.Admin)
	publish(t, s, huge, "asked for 1", "asked for 2")
	var asked []queue.Delivery
	for range 2 {
		d, found, err := s.Get(t.Context(), huge)
		if err != nil || !found {
			t.Fatalf("get: %t, %v", found, err)
		}
		asked = append(asked, d)
	}
	if _, found, err := s.Get(t.Context(), huge); err != nil || found {
		t.Fatalf("get from an empty queue: %t, %v", found, err)
	}
	publish(t, s, normal, "a", "b", "c", "d", "e", "f")

	first, err := s.Listen(t.Context(), []string{normal, huge}, 2, always)
	if err != nil {
		t.Fatal(err)
	}
	a, b := receive(t, first.Deliveries()), receive(t, first.Deliveries())
	over(t, first)
	if more, err := first.Allow(t.Context(), 1); more || err != nil {
		t.Errorf("room in a listening that is over: %t, %v", more, err)
	}
	if err := errors.Join(a.Ack(), asked[0].Ack()); err != nil {
		t.Fatal(err)
	}
	waiting(t, s, normal, 4)

	second, err := s.Listen(t.Context(), []string{normal}, 1, always)
	if err != nil {
		t.Fatal(err)
	}
	c := receive(t, second.Deliveries())
	over(t, second)
	if err := errors.Join(b.Ack(), c.Ack(), asked[1].Ack()); err != nil {
		t.Fatal(err)
	}
	waiting(t, s, normal, 3)
}

// What is settled while a listening goes on makes no room; Allow does.
func TestListenAllow(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareQueue(t, normal)
	s := dial(t, broker.Admin)
	publish(t, s, normal, "a")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	l, err := s.Listen(ctx, []string{normal}, 2, always)
	if err != nil {
		t.Fatal(err)
	}
	a := receive(t, l.Deliveries())
	if err := a.Ack(); err != nil { // one of two places is used up, and stays so
		t.Fatal(err)
	}
	if more, err := l.Allow(t.Context(), 1); !more || err != nil {
		t.Fatalf("allow: %t, %v", more, err)
	}
	publish(t, s, normal, "b", "c", "d", "e")
	b, c := receive(t, l.Deliveries()), receive(t, l.Deliveries())
	over(t, l)
	waiting(t, s, normal, 2)
	if err := errors.Join(b.Ack(), c.Requeue()); err != nil {
		t.Fatal(err)
	}
	queuetest.Eventually(t, "what was given back waits again", func() bool {
		ready, _, err := s.Depth(t.Context(), normal)
		return err == nil && ready == 3
	})
	waiting(t, s, normal, 3)
	for _, want := range []string{"c", "d", "e"} {
		d, found, err := s.Get(t.Context(), normal)
		if err != nil || !found || string(d.Body) != want || d.Redelivered != (want == "c") {
			t.Fatalf("get: %q, %t, redelivered %t, %v; want %q", d.Body, found, d.Redelivered, err, want)
		}
	}
	waiting(t, s, normal, 0)
}

func TestGetWithoutAQueue(t *testing.T) {
	t.Parallel()
	s := dial(t, queuetest.New(t).Admin)
	if _, _, err := s.Get(t.Context(), normal); !errors.Is(err, queue.ErrNoQueue) {
		t.Errorf("get: %v, want ErrNoQueue", err)
	}
	if err := s.Err(); err != nil {
		t.Errorf("the session ended: %v", err)
	}
}
