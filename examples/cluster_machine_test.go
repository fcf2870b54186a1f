//go:build e2e && machine

package examples

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machinetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
)

const clusterQueue = "debci-bookworm-amd64"

// clusterPatience is for whoever has to find out that a machine is gone without a word: Erlang asks each other four times a minute.
const clusterPatience = 4 * time.Minute

// TestSSHCluster has a broker of three machines, takes one's power, then one's network, and counts what was confirmed meanwhile.
// All of it without an apply: what systemd starts comes back by itself.
func TestSSHCluster(t *testing.T) {
	directory := t.TempDir()
	cookie := filepath.Join(directory, "cookie")
	if err := os.WriteFile(cookie, []byte(strings.Repeat("Cookie7", 5)), 0o600); err != nil {
		t.Fatal(err)
	}
	var machines []*machinetest.Machine
	var members strings.Builder
	for _, name := range []string{"a", "b", "c"} {
		m := machinetest.Start(t)
		machines = append(machines, m)
		fmt.Fprintf(&members, "%s={address=%q, host=%s},", name, m.Address(), variable(m))
	}
	c := newCLI(t, "-var=directory="+directory, "-var=cookie_file="+cookie, "-var=system=true", "-var=members={"+members.String()+"}")
	c.copyExample("cluster")
	c.run("apply")
	c.planIsEmpty()

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	p := &clusterPublisher{}
	account := accountOf(t, c.output("operator_credentials_file"))
	var publishing sync.WaitGroup
	publishing.Go(func() { p.run(ctx, account) })
	p.confirms(t, "before anything happens")

	// Queues are led by the first: all were made through it.
	machines[0].Kill()
	p.confirms(t, "with one machine without power")
	machines[0].Boot()
	c.isWell(t, "the machine that had lost its power is a member again")

	if !serves(machines[1]) {
		t.Error("a machine of three does not serve clients")
	}
	machines[1].Cut()
	time.Sleep(90 * time.Second) // both sides have noticed
	p.confirms(t, "with one machine off the network")
	if serves(machines[1]) {
		t.Error("the machine that is alone serves clients")
	}
	machines[1].Mend()
	c.isWell(t, "the machine that was off the network is a member again")
	p.confirms(t, "in the end")
	stop()
	publishing.Wait()

	missing := p.count
	received := receiveAll(t, accountOf(t, c.output("worker_credentials_file")))
	for n := range p.count {
		if received[fmt.Sprintf("package%d\n{}", n)] {
			missing--
		}
	}
	t.Logf("%d requests confirmed, %d lost; the longest time between two: %s", p.count, missing, p.away.Round(time.Second))
	if missing > 0 {
		t.Errorf("%d of %d confirmed requests are lost", missing, p.count)
	}
	c.run("destroy")
	for _, m := range machines {
		if out := m.Run("sh", "-c", "ls -d /var/lib/autopkgtest-cloud/cluster 2>/dev/null; pgrep -u autopkgtest-cloud -a || true"); out != "" {
			t.Errorf("left behind: %s", out)
		}
	}
}

// greet says something that is no AMQP to a broker, which names its own protocol then.
const greet = `import socket, sys
broker = socket.create_connection((sys.argv[1], 5672), 5)
broker.sendall(b"no AMQP!")
print(broker.recv(4).decode())`

// serves asks on the machine itself whether its broker speaks to clients.
func serves(m *machinetest.Machine) bool {
	out, err := m.Try("python3", "-c", greet, m.Address())
	return err == nil && strings.TrimSpace(out) == "AMQP"
}

func accountOf(t *testing.T, file string) config.Broker {
	t.Helper()
	account, err := config.ReadBroker(file)
	if err != nil {
		t.Fatal(err)
	}
	return account
}

// isWell waits until a plan finds nothing to do.
func (c *cli) isWell(t *testing.T, what string) {
	t.Helper()
	for deadline := time.Now().Add(clusterPatience); ; time.Sleep(5 * time.Second) {
		out, err := c.try("plan", "-detailed-exitcode")
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v\n%s", what, err, out)
		}
	}
}

// clusterPublisher sends one request after the other, and each again until it is confirmed.
type clusterPublisher struct {
	mu    sync.Mutex
	count int           // confirmed
	last  time.Time     // the last confirmation
	away  time.Duration // the longest time between two
}

func (p *clusterPublisher) run(ctx context.Context, account config.Broker) {
	log := slog.New(slog.DiscardHandler)
	dial := func(ctx context.Context) (*queue.Session, error) {
		return queue.Dial(ctx, account, queue.WithLimit(10*time.Second), queue.WithLog(log))
	}
	queue.Keep(ctx, log, queue.Patience{First: 100 * time.Millisecond, Longest: time.Second}, dial,
		func(ctx context.Context, session *queue.Session) error {
			for ctx.Err() == nil {
				body := fmt.Appendf(nil, "package%d\n{}", p.count)
				if err := session.Publish(ctx, "", clusterQueue, body, true); err != nil {
					return err
				}
				p.confirmed()
				time.Sleep(20 * time.Millisecond)
			}
			return context.Cause(ctx)
		})
}

func (p *clusterPublisher) confirmed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if !p.last.IsZero() {
		p.away = max(p.away, now.Sub(p.last))
	}
	p.last = now
	p.count++
}

// confirms waits until fifty more requests are confirmed.
func (p *clusterPublisher) confirms(t *testing.T, when string) {
	t.Helper()
	read := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.count
	}
	begin, before := time.Now(), read()
	for read() < before+50 {
		if time.Since(begin) > clusterPatience {
			t.Fatalf("%s: no request was confirmed for %s", when, clusterPatience)
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("%s: fifty requests confirmed after %s", when, time.Since(begin).Round(100*time.Millisecond))
}

// receiveAll takes requests until none came for ten seconds. There are more than were confirmed: some were sent twice.
func receiveAll(t *testing.T, account config.Broker) map[string]bool {
	t.Helper()
	session, err := queue.Dial(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	deliveries, err := session.Consume(ctx, []string{clusterQueue}, 100)
	if err != nil {
		t.Fatal(err)
	}
	received := map[string]bool{}
	for {
		select {
		case d, open := <-deliveries:
			if !open {
				t.Fatalf("the session has ended: %v", session.Err())
			}
			received[string(d.Body)] = true
			if err := d.Ack(); err != nil && !errors.Is(err, queue.ErrStale) {
				t.Fatal(err)
			}
		case <-time.After(10 * time.Second):
			return received
		}
	}
}
