package queue

import (
	"errors"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A refusal says that the message did not arrive. The end of a whole connection says nothing: the broker may have stored it.
func TestWhatAClosedChannelSays(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason *amqp.Error // nil if the broker said nothing
		want   error
	}{
		"nothing":              {nil, ErrUnconfirmed},
		"may not write":        {&amqp.Error{Code: amqp.AccessRefused}, ErrRefused},
		"no such exchange":     {&amqp.Error{Code: amqp.NotFound}, ErrNoQueue},
		"the broker stops":     {&amqp.Error{Code: amqp.ConnectionForced}, ErrUnconfirmed},
		"the connection broke": {&amqp.Error{Code: amqp.FrameError}, ErrUnconfirmed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &outlet{closes: make(chan *amqp.Error, 1)}
			if tc.reason != nil {
				o.closes <- tc.reason
			}
			if err := o.failure(errors.New("write: broken pipe")); !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
}
