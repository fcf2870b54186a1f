//go:build component

package testbed

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// rooted is a backend whose tools are root.
type rooted struct{ Backend }

func (rooted) Properties() Properties { return Properties{Privileged: true} }

// keeping is a runner with namespaces ahead.
type keeping struct {
	*Runner
	wanted atomic.Int64
	stop   func() // returns when the keeper has ended
}

// keepAhead starts the keeper and waits until there is all that is wanted.
func keepAhead(t *testing.T) *keeping {
	t.Helper()
	k := &keeping{Runner: &Runner{
		backend: rooted{}, names: newNames(), log: slog.New(slog.NewTextHandler(t.Output(), nil)), ahead: newAhead(),
	}}
	k.wanted.Store(mostAhead)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		k.KeepAhead(ctx, "/srv/mark/ahead", func() int { return int(k.wanted.Load()) })
	}()
	k.stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(k.stop)
	k.await(t, mostAhead)
	return k
}

func (k *keeping) await(t *testing.T, count int) {
	t.Helper()
	for until := time.Now().Add(30 * time.Second); k.Ahead() != count; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("there are %d sets of namespaces ahead, want %d", k.Ahead(), count)
		}
	}
}

// pids are the first processes of the sets for runs.
func (k *keeping) pids() []int {
	k.ahead.mu.Lock()
	defer k.ahead.mu.Unlock()
	var pids []int
	for _, n := range k.ahead.runs {
		pids = append(pids, n.p.pid())
	}
	return pids
}

// run runs a script in a network with a filter, and returns what it prints.
func (k *keeping) run(t *testing.T, script string, network *insideNetwork) string {
	t.Helper()
	run := shell(t, "exec >&2; "+script)
	run.inside.Network, run.ahead = network, k.ahead
	var out bytes.Buffer
	run.stderr = &out
	done, err := run.run(t.Context())
	if err != nil || done.status.shell() != 0 {
		t.Fatalf("%+v, %v: %s", done.status, err, out.String())
	}
	return strings.TrimSpace(out.String())
}

func networkOf(pid int) string {
	name, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	return name
}

// awaitGone waits until the processes have ended and were waited for.
func awaitGone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		for until := time.Now().Add(30 * time.Second); syscall.Kill(pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("process %d is left", pid)
			}
		}
	}
}

// likely is the network that the keeper has made.
func (k *keeping) likely(t *testing.T) *insideNetwork {
	t.Helper()
	var c confinement
	if err := k.joinLikely(t.Context(), &c); err != nil {
		t.Fatal(err)
	}
	return c.inside.Network
}

func TestAheadIsUsed(t *testing.T) {
	if !mustBeRoot(t) {
		return
	}
	k := keepAhead(t)
	first := k.pids()[0]
	network := networkOf(first)
	if mark := markOf(first); mark != "/srv/mark/ahead" {
		t.Errorf("the janitor would find %q", mark)
	}
	if got := k.run(t, "readlink /proc/self/ns/net; hostname", k.likely(t)); got != network+"\n"+Hostname {
		t.Errorf("it ran in %q, want those of %s", got, network)
	}
	if networkOf(first) != "" {
		t.Error("the first process has not ended with its run")
	}
	k.await(t, mostAhead) // it is replaced
}

// A filter that is not the one of the run is replaced before its command begins.
func TestAheadGetsTheFilterOfTheRun(t *testing.T) {
	if !mustBeRoot(t) {
		return
	}
	k := keepAhead(t)
	network := networkOf(k.pids()[0])
	other, err := machineFilter([]opening{{netip.MustParsePrefix("10.99.98.97/32"), 80}})
	if err != nil {
		t.Fatal(err)
	}
	got := k.run(t, "readlink /proc/self/ns/net; nft list ruleset", &insideNetwork{Filter: other.ruleset(), IPv6: other.ipv6})
	if !strings.Contains(got, network) || !strings.Contains(got, "10.99.98.97") || strings.Count(got, "table") != 1 {
		t.Errorf("in %s, want %s, and a filter that knows 10.99.98.97", got, network)
	}
}

func TestAheadThatDoesNotFit(t *testing.T) {
	if !mustBeRoot(t) {
		return
	}
	k := keepAhead(t)
	usual := k.likely(t)
	for name, prepare := range map[string]func(pids []int) *insideNetwork{
		"IPv6 came or went": func([]int) *insideNetwork { return &insideNetwork{Filter: usual.Filter, IPv6: !usual.IPv6} },
		"dead": func(pids []int) *insideNetwork {
			for _, pid := range pids {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			awaitGone(t, pids)
			return usual
		},
	} {
		t.Run(name, func(t *testing.T) {
			k.await(t, mostAhead)
			pids := k.pids()
			networks := networkOf(pids[0]) + networkOf(pids[1])
			if got := k.run(t, "readlink /proc/self/ns/net", prepare(pids)); got == "" || strings.Contains(networks, got) {
				t.Errorf("it ran in %s, one of those that do not fit: %s", got, networks)
			}
		})
	}
}

func TestAheadEnds(t *testing.T) {
	if !mustBeRoot(t) {
		return
	}
	for name, end := range map[string]func(*keeping){
		"with the worker":      func(k *keeping) { k.stop() },
		"when none are wanted": func(k *keeping) { k.wanted.Store(0); k.ahead.used <- struct{}{} },
	} {
		t.Run(name, func(t *testing.T) {
			k := keepAhead(t)
			pids := k.pids()
			end(k)
			k.await(t, 0)
			awaitGone(t, pids)
			if k.ahead.take(confinement{}) != nil {
				t.Error("one is given away that has ended")
			}
		})
	}
}
