//go:build e2e

package examples

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

const (
	replacedQueue = "debci-bookworm-amd64"
	// awayLimit is how long the only broker may be away while it is replaced, in restarts of it.
	awayLimit = 2.5
)

// TestReplaceService replaces broker and store while requests come and are worked on. Nothing that the broker has confirmed
// is lost.
func TestReplaceService(t *testing.T) {
	t.Parallel()
	directory := newStack(t)
	c := newCLI(t, "-var=directory="+directory)
	c.copyExample("replace-service")
	c.run("apply")
	c.planIsEmpty()

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	p := &requester{file: c.output("britney_credentials_file"), confirmed: map[string]bool{}}
	w := &taker{file: c.output("worker_credentials_file"), done: map[string]bool{}}
	var publishing, consuming sync.WaitGroup
	publishing.Go(func() { p.run(ctx) })
	working, finish := context.WithCancel(t.Context())
	defer finish()
	consuming.Go(func() { w.run(working) })

	time.Sleep(time.Second) // of load before it
	if out, err := exec.Command("sv", "-w", "60", "restart", filepath.Join(directory, "sv", "rabbitmq")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	restarted := p.longest(t)
	for _, address := range []string{"autopkgtest_rabbitmq_server.broker", "autopkgtest_swift_server.store"} {
		said := c.run("apply", "-replace="+address)
		if !strings.Contains(said, "1 to add, 0 to change, 1 to destroy") {
			t.Errorf("replacing %s changes more than that:\n%s", address, said)
		}
		c.planIsEmpty()
	}
	replaced := p.longest(t)
	stop()
	publishing.Wait()
	ended := time.Now().Add(time.Minute)
	for time.Now().Before(ended) && len(w.missing(p)) > 0 {
		time.Sleep(100 * time.Millisecond)
	}
	finish()
	consuming.Wait()
	if lost := w.missing(p); len(lost) > 0 {
		t.Errorf("%d of %d confirmed requests are lost: %.10q", len(lost), len(p.confirmed), lost)
	}
	ratio := replaced.Seconds() / restarted.Seconds()
	t.Logf("%d requests confirmed, %d done; the broker was away for %s, and for %s when it was restarted: ratio %.2f, limit %.1f",
		len(p.confirmed), len(w.done), replaced, restarted, ratio, awayLimit)
	if ratio > awayLimit {
		t.Errorf("the broker was away for %s, %.2f times as long as for a restart", replaced, ratio)
	}

	said, err := c.try("destroy")
	if err != nil && !strings.Contains(said, "Messages stand in") {
		t.Errorf("destroy: %v\n%s", err, said)
	}
}

// requester sends requests with confirms, as fast as britney's tools do, and sends again what was not confirmed.
type requester struct {
	file      string
	confirmed map[string]bool

	mu   sync.Mutex
	last time.Time     // of the last one
	away time.Duration // the longest time between two
}

// longest waits until requests are confirmed again, and returns for how long none was, since the last call.
func (p *requester) longest(t *testing.T) time.Duration {
	t.Helper()
	asked := time.Now()
	for deadline := asked.Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		p.mu.Lock()
		away, last := p.away, p.last
		if last.After(asked.Add(time.Second)) {
			p.away = 0
			p.mu.Unlock()
			return away
		}
		p.mu.Unlock()
	}
	t.Fatal("no request is confirmed any more")
	return 0
}

func (p *requester) sent(body string) {
	p.confirmed[body] = true
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if !p.last.IsZero() {
		p.away = max(p.away, now.Sub(p.last))
	}
	p.last = now
}

func (p *requester) run(ctx context.Context) {
	for n := 0; ctx.Err() == nil; {
		channel, end, err := dial(p.file)
		if err != nil {
			time.Sleep(200 * time.Millisecond)
			continue
		}
		if err := channel.Confirm(false); err != nil {
			end()
			continue
		}
		for ctx.Err() == nil {
			body := fmt.Sprintf("package%d\n{}", n)
			sent, err := channel.PublishWithDeferredConfirm("", replacedQueue, false, false,
				amqp.Publishing{Body: []byte(body), DeliveryMode: amqp.Persistent})
			if err != nil {
				break
			}
			within, cancel := context.WithTimeout(ctx, 5*time.Second)
			ok, err := sent.WaitContext(within)
			cancel()
			if err != nil || !ok {
				break
			}
			p.sent(body)
			n++
			time.Sleep(5 * time.Millisecond)
		}
		end()
	}
}

// taker works on a few requests at a time.
type taker struct {
	file string
	mu   sync.Mutex
	done map[string]bool
}

func (w *taker) missing(p *requester) (lost []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for body := range p.confirmed {
		if !w.done[body] {
			lost = append(lost, body)
		}
	}
	return lost
}

func (w *taker) run(ctx context.Context) {
	for ctx.Err() == nil {
		channel, end, err := dial(w.file)
		if err != nil {
			time.Sleep(200 * time.Millisecond)
			continue
		}
		w.consume(ctx, channel)
		end()
	}
}

func (w *taker) consume(ctx context.Context, channel *amqp.Channel) {
	if channel.Qos(20, 0, false) != nil {
		return
	}
	deliveries, err := channel.Consume(replacedQueue, "", false, false, false, false, nil)
	if err != nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case d, open := <-deliveries:
			if !open || d.Ack(false) != nil {
				return
			}
			w.mu.Lock()
			w.done[string(d.Body)] = true
			w.mu.Unlock()
		}
	}
}

// dial opens a channel with the credentials that stand in a file now.
func dial(file string) (*amqp.Channel, func(), error) {
	account, err := config.ReadBroker(file)
	if err != nil {
		return nil, nil, err
	}
	connection, err := amqp.Dial(account.URI().Reveal())
	if err != nil {
		return nil, nil, err
	}
	channel, err := connection.Channel()
	if err != nil {
		_ = connection.Close()
		return nil, nil, err
	}
	return channel, func() { _ = connection.Close() }, nil
}
