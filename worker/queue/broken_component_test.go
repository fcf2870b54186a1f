//go:build component

package queue_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
)

// The regression that cost jobs with automatic recovery: a late ack of an old session must not settle another message.
func TestLateAckIsStale(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareQueue(t, normal)
	proxy, through := queuetest.Through(t, broker.Admin)
	first := dial(t, through)
	publish(t, dial(t, broker.Admin), normal, "A", "B")
	deliveries, err := first.Consume(t.Context(), []string{normal}, 1)
	if err != nil {
		t.Fatal(err)
	}
	a := receive(t, deliveries)
	proxy.Cut()
	if err := <-first.Done(); !errors.Is(err, queue.ErrUnreachable) {
		t.Errorf("the session ended with %v, want ErrUnreachable", err)
	}
	if _, open := <-deliveries; open {
		t.Error("a delivery after the session's end")
	}
	second := dial(t, broker.Admin)
	if second.Epoch() <= first.Epoch() {
		t.Errorf("epochs %d, then %d", first.Epoch(), second.Epoch())
	}
	deliveries, err = second.Consume(t.Context(), []string{normal}, 2)
	if err != nil {
		t.Fatal(err)
	}
	again, b := receive(t, deliveries), receive(t, deliveries)
	if string(again.Body) != "A" || !again.Redelivered || string(b.Body) != "B" {
		t.Fatalf("redelivered %q (%t), %q", again.Body, again.Redelivered, b.Body)
	}
	for _, settle := range []func() error{a.Ack, a.Requeue, a.Reject} {
		if err := settle(); !errors.Is(err, queue.ErrStale) {
			t.Errorf("settling in another session: %v, want ErrStale", err)
		}
	}
	if !a.Stale() || b.Stale() {
		t.Errorf("stale: %t, %t, want true, false", a.Stale(), b.Stale())
	}
	if err := b.Ack(); err != nil {
		t.Error(err)
	}
	if err := again.Ack(); err != nil {
		t.Error(err)
	}
}

// An ack that got lost on the way is an error, not a success that the broker never heard of.
func TestAckIsAnswered(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareQueue(t, normal)
	publish(t, dial(t, broker.Admin), normal, "A")
	proxy, through := queuetest.Through(t, broker.Admin)
	s := dial(t, through, queue.WithLimit(time.Second))
	deliveries, err := s.Consume(t.Context(), []string{normal}, 1)
	if err != nil {
		t.Fatal(err)
	}
	a := receive(t, deliveries)
	proxy.Freeze()
	if err := a.Ack(); !errors.Is(err, queue.ErrStale) {
		t.Errorf("ack into a dead network: %v, want ErrStale", err)
	}
}

// No call may wait for ever on a network that swallows everything.
func TestNothingBlocksForEver(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareQueue(t, normal)
	for name, call := range map[string]func(context.Context, *queue.Session) error{
		"depth": func(ctx context.Context, s *queue.Session) error {
			_, _, err := s.Depth(ctx, normal)
			return err
		},
		"publish": func(ctx context.Context, s *queue.Session) error {
			return s.Publish(ctx, "", normal, []byte("x"), true)
		},
		"exchanges": func(ctx context.Context, s *queue.Session) error { return s.DeclareExchanges(ctx) },
		"consume": func(ctx context.Context, s *queue.Session) error {
			_, err := s.Consume(ctx, []string{normal}, 1)
			return err
		},
		"close": func(_ context.Context, s *queue.Session) error { return s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy, through := queuetest.Through(t, broker.Admin)
			s := dial(t, through, queue.WithLimit(500*time.Millisecond))
			publish(t, s, normal, "opens the publisher's connection")
			proxy.Freeze()
			returned := make(chan error, 1)
			go func() { returned <- call(t.Context(), s) }()
			select {
			case err := <-returned:
				if err == nil {
					t.Error("success without a network")
				}
			case <-time.After(20 * time.Second):
				t.Fatal("still waiting after 20 s")
			}
		})
	}
}

// A broker that closes the connections from its side: every session ends, Keep makes the next, nothing is lost.
func TestKeepSurvivesClosedConnections(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareQueue(t, normal)
	const messages = 5
	var bodies []string
	for i := range messages {
		bodies = append(bodies, fmt.Sprint(i))
	}
	publish(t, dial(t, broker.Admin), normal, bodies...)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	sessions, done := 0, map[string]bool{}
	killed := make(chan struct{})
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		queue.Keep(ctx, slog.New(slog.DiscardHandler), queue.Patience{First: 10 * time.Millisecond},
			func(ctx context.Context) (*queue.Session, error) { return queue.Dial(ctx, broker.Admin) },
			func(ctx context.Context, s *queue.Session) error {
				deliveries, err := s.Consume(ctx, []string{normal}, 2)
				if err != nil {
					return err
				}
				if sessions++; sessions == 1 {
					<-deliveries
					close(killed)
					for range deliveries { // holds them until the session ends
					}
					return ctx.Err()
				}
				for d := range deliveries {
					done[string(d.Body)] = d.Ack() == nil
					if len(done) == messages {
						stop()
					}
				}
				return ctx.Err()
			})
	}()
	<-killed
	broker.CloseConnections(t, 1)
	select {
	case <-kept:
	case <-time.After(time.Minute):
		t.Fatal("not done within a minute")
	}
	for _, body := range bodies {
		if !done[body] {
			t.Errorf("message %s was not acknowledged", body)
		}
	}
}
