//go:build component

package queue_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
)

func TestPublishOutcomes(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareQueue(t, normal)
	reader := broker.User(t, "reader", "^$", "^$", ".*")
	for name, test := range map[string]struct {
		broker        config.Broker
		exchange, key string
		want          error
	}{
		"to a queue":              {broker.Admin, "", normal, nil},
		"to no queue":             {broker.Admin, "", "debci-nowhere-amd64", queue.ErrNoQueue},
		"to no exchange":          {broker.Admin, "nobody.fanout", "", queue.ErrNoQueue},
		"to a fanout without ear": {broker.Admin, "amq.fanout", "", nil},
		"without the right to":    {reader, "", normal, queue.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := dial(t, test.broker)
			for range 2 { // the second time on a channel that may have been closed
				if err := s.Publish(t.Context(), test.exchange, test.key, []byte("x"), true); !errors.Is(err, test.want) {
					t.Errorf("publish: %v, want %v", err, test.want)
				}
			}
			if err := s.Err(); err != nil {
				t.Errorf("the session ended: %v", err)
			}
		})
	}
}

// Many publishers, some of them to a queue that does not exist: each learns the fate of its own message.
func TestPublishConcurrently(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareQueue(t, normal)
	s := dial(t, broker.Admin)
	var publishers sync.WaitGroup
	const each = 50
	for i := range 2 * each {
		publishers.Go(func() {
			name, want := normal, error(nil)
			if i%2 == 1 {
				name, want = fmt.Sprintf("debci-no%d-amd64", i), queue.ErrNoQueue
			}
			if err := s.Publish(t.Context(), "", name, []byte("x"), true); !errors.Is(err, want) || (want == nil && err != nil) {
				t.Errorf("publish to %s: %v, want %v", name, err, want)
			}
		})
	}
	publishers.Wait()
	if ready, _, err := s.Depth(t.Context(), normal); err != nil || ready != each {
		t.Errorf("in the queue: %d, %v, want %d", ready, err, each)
	}
}

// The publisher's connection may break without harm to the deliveries.
func TestPublisherComesBack(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareQueue(t, normal)
	proxy, through := queuetest.Through(t, broker.Admin)
	s := dial(t, through)
	publish(t, s, normal, "1")
	proxy.Cut()
	<-s.Done()
	fresh := dial(t, through)
	publish(t, fresh, normal, "2")
	if err := s.Publish(t.Context(), "", normal, []byte("x"), true); !errors.Is(err, queue.ErrUnreachable) {
		t.Errorf("publish in an ended session: %v, want ErrUnreachable", err)
	}
}
