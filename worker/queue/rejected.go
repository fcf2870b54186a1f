package queue

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// Requests that can never be run are kept for people to look at. The exchange and the queue are deployed with the broker: a
// worker has no right to make either, nor to read what others have rejected.
const (
	RejectedExchange = "autopkgtest.rejected" // fanout, durable
	RejectedQueue    = "rejected-requests"    // durable, bound to it
)

// The headers of a rejected request.
const (
	ReasonHeader         = "x-reason"
	QueueHeader          = "x-queue"
	RejectedWorkerHeader = "x-worker"
	TimeHeader           = "x-time"
)

// Rejected is a request that can never be run, as it is kept.
type Rejected struct {
	Body   []byte    `json:"body"`  // as it came
	Queue  string    `json:"queue"` // where it came from
	Reason string    `json:"reason"`
	Worker string    `json:"worker"` // who rejected it
	Time   time.Time `json:"time"`
}

// maxReason bounds a header: all headers of a message must fit into one frame.
const maxReason = 4 << 10

// Message is the request with what became of it in its headers.
func (r Rejected) Message() Message {
	reason := r.Reason
	if len(reason) > maxReason {
		reason = reason[:maxReason] + "…"
	}
	return Message{
		Body: r.Body, Persistent: true, Mandatory: true,
		Headers: map[string]string{
			ReasonHeader: reason, QueueHeader: r.Queue, RejectedWorkerHeader: r.Worker,
			TimeHeader: r.Time.UTC().Format(time.RFC3339),
		},
	}
}

// RejectedOf reads a request that was kept. What stands in its headers is no more than a claim: whoever may publish requests can
// put a message into the queue, too. The time is zero where it cannot be read.
func RejectedOf(d Delivery) Rejected {
	at, _ := time.Parse(time.RFC3339, d.Header(TimeHeader))
	return Rejected{
		Body: d.Body, Queue: d.Header(QueueHeader), Reason: d.Header(ReasonHeader), Worker: d.Header(RejectedWorkerHeader), Time: at,
	}
}

// ID names a request that was kept, for people: the same as long as it is kept. Requests that do not differ in anything have the
// same.
func (r Rejected) ID() string {
	hash := sha256.New()
	for _, part := range [][]byte{r.Body, []byte(r.Queue), []byte(r.Reason), []byte(r.Worker), []byte(r.Time.UTC().Format(time.RFC3339))} {
		_ = binary.Write(hash, binary.BigEndian, int64(len(part))) // a hash takes everything
		hash.Write(part)
	}
	return hex.EncodeToString(hash.Sum(nil)[:6])
}

// messagePublisher is the part of a session that PublishTo needs.
type messagePublisher interface {
	PublishMessage(ctx context.Context, exchange, key string, m Message) error
}

// PublishTo sends the request to RejectedExchange. It returns nil when it is safe in a queue, and ErrNoQueue when the exchange
// or the queue has not been deployed.
func (r Rejected) PublishTo(ctx context.Context, session messagePublisher) error {
	return session.PublishMessage(ctx, RejectedExchange, "", r.Message())
}
