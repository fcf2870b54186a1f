package queue

import (
	"context"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Message is what PublishMessage sends. Only the body is needed.
type Message struct {
	Body       []byte
	Headers    map[string]string
	Persistent bool // kept on disk by a durable queue

	// Mandatory makes a message that no queue takes fail with ErrNoQueue. Without it an exchange that nobody listens to
	// swallows the message. What goes to a queue directly, through the exchange "", is always mandatory.
	Mandatory bool

	ReplyTo       string // where an answer is expected
	CorrelationID string // which the answer repeats
	// UserID is the user that the session has logged in as, or empty. The broker checks it and refuses any other, so whoever
	// gets the message knows who sent it.
	UserID string
}

// PublishMessage is Publish with all that a message may carry.
func (s *Session) PublishMessage(ctx context.Context, exchange, key string, m Message) error {
	if !s.alive() {
		return fmt.Errorf("publish to %s: %w", destination(exchange, key), s.endedError())
	}
	if err := s.out.publish(ctx, exchange, key, m); err != nil {
		return fmt.Errorf("publish to %s: %w", destination(exchange, key), err)
	}
	return nil
}

// publishing is the message in the library's form.
func (m Message) publishing() amqp.Publishing {
	p := amqp.Publishing{
		Body: m.Body, DeliveryMode: amqp.Transient, ReplyTo: m.ReplyTo, CorrelationId: m.CorrelationID, UserId: m.UserID,
		Timestamp: time.Now(), // by which the broker tells how old the oldest request in a queue is
	}
	if m.Persistent {
		p.DeliveryMode = amqp.Persistent
	}
	if len(m.Headers) > 0 {
		p.Headers = amqp.Table{}
		for name, value := range m.Headers {
			p.Headers[name] = value
		}
	}
	return p
}

// RedeliveredHeader marks a message that was delivered before, by a broker that is gone: whoever fills a new broker with
// what an old one has handed out sets it, since the AMQP flag does not travel.
const RedeliveredHeader = "x-autopkgtest-redelivered"

// wasDelivered reports whether somebody may have had the message before.
func wasDelivered(d amqp.Delivery) bool {
	marked, there := d.Headers[RedeliveredHeader]
	return d.Redelivered || there && marked != false && marked != "false"
}

// text is a header's value if it is a text, and otherwise empty.
func text(headers amqp.Table, name string) string {
	value, _ := headers[name].(string)
	return value
}
