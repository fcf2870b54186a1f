//go:build component && slow

package rabbitmq

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestClusterLong is TestCluster with another node killed, at another moment, with a virtual host that stays down, and with all
// of them down.
func TestClusterLong(t *testing.T) {
	t.Parallel()
	live(t, append(clusterBeginning(1, 2),
		clusterPart{"brings back a member's virtual host that stays down", clusterVHostDown},
		clusterPart{"starts in any order after all were down", clusterAllDown},
		clusterEnd))
}

// clusterVHostDown ends the virtual host of the member that has the queues, for which these need half a minute.
func clusterVHostDown(t *testing.T, c *clusterTest) {
	queues, err := c.members[0].management(t).Queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leader := queues[clusterQueues()[0]].Leader
	index := slices.IndexFunc(c.members, func(m *member) bool { return m.name() == leader })
	if index < 0 {
		t.Fatalf("the leader %q is no member", leader)
	}
	victim := c.members[index]
	n, err := configuredNode(victim.d)
	if err == nil {
		_, err = control(t.Context(), victim.d, n, nil, "eval", endVHost)
	}
	if err != nil {
		t.Fatal(err)
	}
	i, err := Inspect(t.Context(), victim.d, victim.settings)
	if err != nil || !strings.Contains(i.Problem, "the virtual host / does not run on "+leader) {
		t.Errorf("Inspect of %s: %+v, %v", leader, i, err)
	}
	c.apply(t, victim)
	for _, m := range c.members {
		m.holds(t, clusterKept)
	}
	c.well(t)
	if behind := victim.behind(t); len(behind) > 0 {
		t.Errorf("the member is behind in %v after its apply", behind)
	}
}

// clusterAllDown brings the members down one after the other, and starts that first which knows least.
func clusterAllDown(t *testing.T, c *clusterTest) {
	c.members[0].loseDisk(t)
	if _, err := Apply(t.Context(), c.members[0].d, c.withoutOthers(t)); err == nil || !strings.Contains(err.Error(), "has lost its data") {
		t.Errorf("a member without data and without others: %v", err)
	}
	c.apply(t, c.members[2])
	c.apply(t, c.members[1], c.members[0])
	for _, m := range c.members {
		m.holds(t, clusterKept)
	}
	c.well(t)
}

// withoutOthers ends the other members, the last of them last, and returns the settings of the first.
func (c *clusterTest) withoutOthers(t *testing.T) Settings {
	t.Helper()
	for _, m := range c.members[1:] {
		if err := m.d.Stop(t.Context(), Service); err != nil {
			t.Fatal(err)
		}
	}
	return c.members[0].settings
}

// TestClusterOvertaken: while the first member is about to make the virtual host, the second joins, and makes it before it. RabbitMQ
// then starts it on the second only, for the first has not finished its start.
func TestClusterOvertaken(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	first := c.members[0]
	c.delayDefinitions(t, first)
	c.apply(t)
	c.well(t)
	log, err := os.ReadFile(first.d.LogPath("rabbitmq"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(log), "Adding vhost '/'") {
		t.Fatal("the first member was not overtaken: this proves nothing")
	}
	if err := first.management(t).DeclareQueues(t.Context(), clusterQueues()); err != nil {
		t.Error(err)
	}
}

// delayDefinitions gives a node some seconds of users to make before the virtual host.
func (c *clusterTest) delayDefinitions(t *testing.T, m *member) {
	t.Helper()
	var many strings.Builder
	for i := range 12000 {
		fmt.Fprintf(&many, `{"name":"delay%d","password_hash":"","tags":""},`, i)
	}
	folder := m.d.ServicePath(Service, "etc/conf.d")
	file := filepath.Join(folder, "delayed.json")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		file:                                  `{"users":[` + strings.TrimSuffix(many.String(), ",") + "]," + definitions[1:],
		filepath.Join(folder, "delayed.conf"): "load_definitions = " + file + "\n",
	} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
