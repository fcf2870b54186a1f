//go:build component && slow

package rabbitmq

import (
	"strings"
	"testing"
)

// TestClusterLong is TestCluster with another node killed, at another moment, and with all of them down.
func TestClusterLong(t *testing.T) {
	t.Parallel()
	live(t, append(clusterBeginning(1, 2), clusterPart{"starts in any order after all were down", clusterAllDown}, clusterEnd))
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
