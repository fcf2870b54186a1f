//go:build component

package queue_test

import (
	"errors"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
)

// What a message carries arrives, and a message that nobody takes comes back if it must not get lost.
func TestPublishMessage(t *testing.T) {
	t.Parallel()
	broker := queuetest.New(t)
	broker.DeclareQueue(t, normal)
	s := dial(t, broker.Admin)
	for name, test := range map[string]struct {
		exchange, key string
		message       queue.Message
		want          error
	}{
		"mandatory, to nobody":      {"amq.fanout", "", queue.Message{Mandatory: true}, queue.ErrNoQueue},
		"optional, to nobody":       {"amq.fanout", "", queue.Message{}, nil},
		"in somebody else's name":   {"", normal, queue.Message{UserID: "britney"}, queue.ErrConflict},
		"to no queue":               {"", "debci-nowhere-amd64", queue.Message{}, queue.ErrNoQueue},
		"mandatory, to no exchange": {"nobody.fanout", "", queue.Message{Mandatory: true}, queue.ErrNoQueue},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the second time on a channel that may have been closed
				if err := s.PublishMessage(t.Context(), test.exchange, test.key, test.message); !errors.Is(err, test.want) {
					t.Errorf("publish: %v, want %v", err, test.want)
				}
			}
		})
	}
	message := queue.Message{
		Body: []byte("green"), Headers: map[string]string{"handle": "20261125-152251-ab12cd34", queue.RedeliveredHeader: "true"},
		Persistent: true, UserID: broker.Admin.Username,
	}
	if err := s.PublishMessage(t.Context(), "", normal, message); err != nil {
		t.Fatal(err)
	}
	deliveries, err := s.Consume(t.Context(), []string{normal}, 1)
	if err != nil {
		t.Fatal(err)
	}
	d := receive(t, deliveries)
	if string(d.Body) != "green" || d.Header("handle") != "20261125-152251-ab12cd34" || d.Header("worker") != "" || !d.Redelivered {
		t.Errorf("delivered %q, handle %q, redelivered %t", d.Body, d.Header("handle"), d.Redelivered)
	}
}
