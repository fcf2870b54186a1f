//go:build component

package rabbitmq

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host/hosttest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
)

var clusterSeed = flag.Uint64("cluster.seed", 0, "when a node is killed, and how long it stays away; 0 for those of every run")

// clusterTest is three nodes, each in a stack of its own, whose address is the member's.
type clusterTest struct {
	members []*member
	cookie  string
}

type member struct {
	d        *host.Directory
	settings Settings
	i        Info
}

func newCluster(t *testing.T, size int) *clusterTest {
	t.Helper()
	c := &clusterTest{cookie: filepath.Join(t.TempDir(), "cookie")}
	var addresses []string
	for range size {
		m := &member{d: hosttest.NewDirectory(t)}
		c.members = append(c.members, m)
		addresses = append(addresses, m.d.Address())
	}
	for i, m := range c.members {
		m.settings.Cluster = &Cluster{Address: addresses[i], Members: addresses, CookieFile: c.cookie, Found: true}
	}
	return c
}

// apply applies these members together, or all.
func (c *clusterTest) apply(t *testing.T, members ...*member) {
	t.Helper()
	if len(members) == 0 {
		members = c.members
	}
	begin := time.Now()
	together, ctx := errgroup.WithContext(t.Context())
	for _, m := range members {
		together.Go(func() (err error) {
			m.i, err = Apply(ctx, m.d, m.settings)
			return err
		})
	}
	if err := together.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("applied %d of %d members in %s", len(members), len(c.members), time.Since(begin).Round(100*time.Millisecond))
}

// well wants that a look at every member finds nothing wrong.
func (c *clusterTest) well(t *testing.T) {
	t.Helper()
	for _, m := range c.members {
		i, err := Inspect(t.Context(), m.d, m.settings)
		if err != nil || i != m.i {
			t.Errorf("member %s: Inspect says %+v, %v; Apply said %+v", m.settings.Cluster.Address, i, err, m.i)
		}
	}
}

func (m *member) management(t *testing.T) *management.Client {
	t.Helper()
	n, err := configuredNode(m.d)
	if err != nil {
		t.Fatal(err)
	}
	client, err := n.client(m.d)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (m *member) name() string { return NodeName(m.settings.Cluster.Address) }

// kill ends the node as the kernel would.
func (m *member) kill(t *testing.T) {
	t.Helper()
	victim, err := os.FindProcess(hosttest.PIDs(t, m.d, Service)["rabbitmq"])
	if err == nil {
		err = victim.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// down ends the node such that it stays away.
func (m *member) down(t *testing.T) {
	t.Helper()
	m.kill(t)
	if err := m.d.Stop(t.Context(), Service); err != nil {
		t.Fatal(err)
	}
}

// account is a user at all members, this one first.
func (c *clusterTest) account(m *member, user string, password config.Secret) config.Broker {
	account := config.Broker{Username: user, Password: password, Host: m.i.Host, Port: m.i.Port, VHost: management.VHost}
	for _, other := range c.members {
		if other != m {
			account.Others = account.Others.With(endpoint{other.i.Host, other.i.Port}.String())
		}
	}
	return account
}

// TestCluster is the life of a cluster, in order: starts take seconds, so the parts share it. TestClusterLong has more of it.
func TestCluster(t *testing.T) {
	t.Parallel()
	live(t, append(clusterBeginning(1), clusterEnd))
}

// clusterPart is a part of a cluster's life, which goes on where the one before has ended.
type clusterPart struct {
	name string
	test func(*testing.T, *clusterTest)
}

func clusterBeginning(seeds ...uint64) []clusterPart {
	return []clusterPart{
		{"is made in one go", clusterMade},
		{"loses nothing that was confirmed", func(t *testing.T, c *clusterTest) { clusterKeeps(t, c, seeds) }},
		{"does nothing when nothing is wrong", clusterIdempotent},
		{"refuses who does not belong to it", clusterRefuses},
		{"takes a member back whose disk is lost", clusterLostDisk},
	}
}

var clusterEnd = clusterPart{"lets members go, and forgets the dead", clusterShrinks}

func live(t *testing.T, parts []clusterPart) {
	t.Helper()
	c := newCluster(t, 3)
	for _, part := range parts {
		if !t.Run(part.name, func(t *testing.T) { part.test(t, c) }) {
			t.FailNow()
		}
	}
}

const clusterUser, clusterPassword = "worker", config.Secret("Secret1")

func clusterQueues() (names []string) {
	for i := range 4 {
		names = append(names, fmt.Sprintf("debci-noble%d-amd64", i))
	}
	return names
}

func clusterMade(t *testing.T, c *clusterTest) {
	c.apply(t)
	for _, m := range c.members {
		if m.i.Incarnation == "" || m.i.Incarnation != c.members[0].i.Incarnation {
			t.Errorf("member %s has the incarnation %q, the first has %q", m.name(), m.i.Incarnation, c.members[0].i.Incarnation)
		}
		running, err := m.management(t).RunningNodes(t.Context())
		if err != nil || len(running) != 3 {
			t.Errorf("member %s knows %v, %v", m.name(), running, err)
		}
	}
	cookie, err := (Cluster{CookieFile: c.cookie}).ReadCookie()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range c.members {
		if own, err := readCookie(m.d); err != nil || own != cookie {
			t.Errorf("member %s has another cookie than the file (%v)", m.name(), err)
		}
	}
	client := c.members[0].management(t)
	user := management.User{Name: clusterUser, PasswordHash: management.HashPassword(clusterPassword)}
	if err := client.PutUser(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	if err := client.PutPermissions(t.Context(), clusterUser, management.Everything); err != nil {
		t.Fatal(err)
	}
	if err := client.PutPolicy(t.Context(), management.Policy{
		Name: "mirrors", Pattern: "^debci-", Mirrors: management.Mirrors{All: true},
	}); err != nil {
		t.Fatal(err)
	}
	if err := client.DeclareQueues(t.Context(), clusterQueues()); err != nil {
		t.Fatal(err)
	}
	if err := Sync(t.Context(), c.members[0].d); err != nil {
		t.Fatal(err)
	}
	c.well(t)
}

// load is what publishers were told, and what consumers saw.
type load struct {
	mu        sync.Mutex
	confirmed map[string]bool
	arrived   map[string]int
	sessions  atomic.Int64
	stop      chan struct{} // closed when nothing more is to be published
}

func (l *load) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// missing are the confirmed messages that have not arrived.
func (l *load) missing() (missing []string) {
	l.note(func() {
		for body := range l.confirmed {
			if l.arrived[body] == 0 {
				missing = append(missing, body)
			}
		}
	})
	slices.Sort(missing)
	return missing
}

// clusterKeeps kills the node that has the queues while publishers and consumers work, as ours do it: with package queue, whose
// sessions end with their node and go on with another.
func clusterKeeps(t *testing.T, c *clusterTest, seeds []uint64) {
	if *clusterSeed != 0 {
		seeds = []uint64{*clusterSeed}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { c.killInMidLoad(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

func (c *clusterTest) killInMidLoad(t *testing.T, dice *rand.Rand) {
	queues, err := c.members[0].management(t).Queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leader := queues[clusterQueues()[dice.IntN(4)]].Leader
	index := slices.IndexFunc(c.members, func(m *member) bool { return m.name() == leader })
	if index < 0 {
		t.Fatalf("the leader %q is no member", leader)
	}
	victim, other := c.members[index], c.members[(index+1)%3]
	l := &load{confirmed: map[string]bool{}, arrived: map[string]int{}, stop: make(chan struct{})}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	prefix := dice.Uint32()
	var publishers, consumers sync.WaitGroup
	for number := range 3 {
		publishers.Go(func() {
			l.publish(ctx, c.account(victim, clusterUser, clusterPassword), fmt.Sprintf("%d-%d", prefix, number), number)
		})
	}
	for number := range 2 {
		// One is with the node that will be killed, one with another.
		at := []*member{victim, other}[number]
		consumers.Go(func() { l.consume(ctx, c.account(at, clusterUser, clusterPassword)) })
	}
	pause := func(least, most int) {
		select {
		case <-time.After(time.Duration(least+dice.IntN(most-least)) * time.Millisecond):
		case <-ctx.Done():
		}
	}
	pause(1500, 2500)
	victim.kill(t)
	if err := victim.d.Stop(ctx, Service); err != nil { // it shall stay away for a moment
		t.Fatal(err)
	}
	before := 0
	l.note(func() { before = len(l.confirmed) })
	found, err := Inspect(ctx, victim.d, victim.settings)
	if err != nil || !strings.Contains(found.Problem, "down") {
		t.Errorf("Inspect of the killed node: %+v, %v", found, err)
	}
	pause(3000, 5000)
	meanwhile := 0
	l.note(func() { meanwhile = len(l.confirmed) - before })
	if meanwhile == 0 {
		t.Error("nothing was confirmed while one of three nodes was down")
	}
	c.apply(t, victim)
	pause(500, 1500)
	close(l.stop)
	publishers.Wait()
	for missing := l.missing(); len(missing) > 0; missing = l.missing() {
		select {
		case <-ctx.Done():
			t.Fatalf("%d confirmed messages never arrived: %v", len(missing), missing[:min(len(missing), 10)])
		case <-time.After(50 * time.Millisecond):
		}
	}
	cancel()
	consumers.Wait()
	twice := 0
	l.note(func() {
		for _, count := range l.arrived {
			if count > 1 {
				twice++
			}
		}
	})
	t.Logf("%s was killed: %d messages confirmed, %d of them while it was down, %d arrived more than once; %d sessions",
		leader, len(l.confirmed), meanwhile, twice, l.sessions.Load())
	c.well(t)
	if behind := victim.behind(t); len(behind) > 0 {
		t.Errorf("the node that was killed is behind in %v after its apply", behind)
	}
}

func (m *member) behind(t *testing.T) []string {
	t.Helper()
	n, err := configuredNode(m.d)
	if err != nil {
		t.Fatal(err)
	}
	behind, err := n.unsynchronised(t.Context(), m.d)
	if err != nil {
		t.Fatal(err)
	}
	return behind
}

var discard = slog.New(slog.DiscardHandler)

var quick = queue.Patience{First: 50 * time.Millisecond, Longest: 500 * time.Millisecond}

func (l *load) keep(ctx context.Context, account config.Broker, use func(context.Context, *queue.Session) error) {
	queue.Keep(ctx, discard, quick, func(ctx context.Context) (*queue.Session, error) {
		l.sessions.Add(1)
		return queue.Dial(ctx, account, queue.WithLimit(10*time.Second), queue.WithLog(discard), queue.WithRecheck(200*time.Millisecond))
	}, use)
}

// publish sends a message after the other, and each again until it is confirmed.
func (l *load) publish(ctx context.Context, account config.Broker, name string, number int) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sent := 0
	l.keep(ctx, account, func(ctx context.Context, session *queue.Session) error {
		for {
			select {
			case <-l.stop:
				cancel()
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			default:
			}
			body := fmt.Sprintf("%s-%d", name, sent)
			if err := session.Publish(ctx, "", clusterQueues()[(sent+number)%4], []byte(body), true); err != nil {
				return err
			}
			l.note(func() { l.confirmed[body] = true })
			sent++
			time.Sleep(5 * time.Millisecond) // hundreds of requests a second are more than any test cloud has
		}
	})
}

func (l *load) consume(ctx context.Context, account config.Broker) {
	l.keep(ctx, account, func(ctx context.Context, session *queue.Session) error {
		consuming, err := session.Consume(ctx, clusterQueues(), 20)
		if err != nil {
			return err
		}
		for d := range consuming {
			l.note(func() { l.arrived[string(d.Body)]++ })
			if err := d.Ack(); err != nil && !errors.Is(err, queue.ErrStale) {
				return err
			}
		}
		return context.Cause(ctx)
	})
}

func clusterIdempotent(t *testing.T, c *clusterTest) {
	before := make([]Info, 3)
	pids := make([]string, 3)
	for i, m := range c.members {
		before[i], pids[i] = m.i, fmt.Sprint(hosttest.PIDs(t, m.d, Service))
	}
	c.apply(t)
	for i, m := range c.members {
		if now := fmt.Sprint(hosttest.PIDs(t, m.d, Service)); now != pids[i] || m.i != before[i] {
			t.Errorf("member %s: processes %s, were %s; Apply says %+v, said %+v", m.name(), now, pids[i], m.i, before[i])
		}
	}
}

// clusterRefuses tries what an operator may get wrong, beside a cluster that runs and goes on.
func clusterRefuses(t *testing.T, c *clusterTest) {
	stranger := &member{d: hosttest.NewDirectory(t)}
	other := filepath.Join(t.TempDir(), "cookie")
	if err := os.WriteFile(other, []byte(strings.Repeat("X", 30)), 0o600); err != nil {
		t.Fatal(err)
	}
	own := stranger.d.Address()
	members := append(slices.Clone(c.members[0].settings.Cluster.Members), own)
	refused := func(m *member, cluster Cluster, field ClusterField, says string) {
		t.Helper()
		_, err := Apply(t.Context(), m.d, Settings{Cluster: &cluster})
		var wrong *ClusterError
		if !errors.As(err, &wrong) || wrong.Field != field || !strings.Contains(err.Error(), says) {
			t.Errorf("%v\nwant an error at %s that says %q", err, field, says)
		}
		if cookie, _ := (Cluster{CookieFile: c.cookie}).ReadCookie(); err != nil && strings.Contains(err.Error(), cookie.Reveal()) {
			t.Error("the error shows the cookie")
		}
	}
	refused(stranger, Cluster{Address: own, Members: members, CookieFile: other, Found: true}, ClusterCookie, "does not take the cookie")
	refused(c.members[0], Cluster{Address: c.members[0].settings.Cluster.Address, Members: members, CookieFile: other}, ClusterCookie,
		"another one than this member has")
	refused(c.members[0], Cluster{Address: own, Members: members, CookieFile: c.cookie}, ClusterAddress, "has data, and they are not those of")
	if _, err := Apply(t.Context(), c.members[0].d, Settings{}); err == nil || !strings.Contains(err.Error(), "does not become a member") {
		t.Errorf("a member alone: %v", err)
	}
	if err := Withdraw(t.Context(), stranger.d); err != nil {
		t.Fatal(err)
	}
	c.well(t)
}

// loseDisk removes all that a member has on its disk.
func (m *member) loseDisk(t *testing.T) {
	t.Helper()
	m.down(t)
	if err := errors.Join(os.RemoveAll(m.d.ServicePath(Service)), os.RemoveAll(m.d.Path("credentials"))); err != nil {
		t.Fatal(err)
	}
}

func (c *clusterTest) fill(t *testing.T, count int) {
	t.Helper()
	session, err := queue.Dial(t.Context(), c.account(c.members[0], clusterUser, clusterPassword), queue.WithLog(discard))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	for i := range count {
		if err := session.Publish(t.Context(), "", clusterQueues()[i%4], fmt.Append(nil, "kept ", i), true); err != nil {
			t.Fatal(err)
		}
	}
}

// holds wants that a member knows of so many messages.
func (m *member) holds(t *testing.T, want int) {
	t.Helper()
	queues, err := m.management(t).Queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for _, queue := range queues {
		got += queue.Messages
	}
	if got != want {
		t.Errorf("member %s knows of %d messages, want %d: %+v", m.name(), got, want, queues)
	}
}

const clusterKept = 40

// clusterLostDisk loses the first member's disk: it must not begin a cluster of its own.
func clusterLostDisk(t *testing.T, c *clusterTest) {
	c.fill(t, clusterKept)
	first := c.members[0]
	first.settings.Cluster.Found = false // as for every member that was there before
	before := first.i.Incarnation
	first.loseDisk(t)
	c.apply(t, first)
	if first.i.Incarnation != before {
		t.Errorf("the incarnation is %q after a lost disk, was %q: everything would be made anew", first.i.Incarnation, before)
	}
	for _, m := range c.members {
		m.holds(t, clusterKept)
	}
	c.well(t)
	if behind := first.behind(t); len(behind) > 0 {
		t.Errorf("the member is behind in %v after its apply", behind)
	}
}

// clusterShrinks: one member is lost for good, and no longer among the members; one leaves, as by a destroy.
func clusterShrinks(t *testing.T, c *clusterTest) {
	dead, leaves, stays := c.members[0], c.members[1], c.members[2]
	dead.loseDisk(t)
	c.members = c.members[1:]
	for _, m := range c.members {
		m.settings.Cluster.Members = []string{leaves.settings.Cluster.Address, stays.settings.Cluster.Address}
		i, err := Inspect(t.Context(), m.d, m.settings)
		if err != nil || !strings.Contains(i.Problem, membersFile) && !strings.Contains(i.Problem, "an apply has the cluster forget it") {
			t.Errorf("with a dead member that is none: %+v, %v", i, err)
		}
	}
	c.apply(t)
	stays.knows(t, 2)
	if only, err := Held(t.Context(), leaves.d); err != nil || len(only) > 0 {
		t.Errorf("only on one of two: %v, %v", only, err)
	}
	if err := errors.Join(Leave(t.Context(), leaves.d), Withdraw(t.Context(), leaves.d)); err != nil {
		t.Fatal(err)
	}
	stays.knows(t, 1)
	stays.holds(t, clusterKept)
	if only, err := Held(t.Context(), stays.d); err != nil || len(only) != 4 {
		t.Errorf("only on the last one: %v, %v", only, err)
	}
}

// knows wants that a member's cluster has so many.
func (m *member) knows(t *testing.T, want int) {
	t.Helper()
	if nodes, err := m.management(t).Nodes(t.Context()); err != nil || len(nodes) != want {
		t.Errorf("member %s knows of %+v, %v; want %d", m.name(), nodes, err, want)
	}
}
