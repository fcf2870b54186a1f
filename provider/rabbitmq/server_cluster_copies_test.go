package rabbitmq

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCopies(t *testing.T) {
	t.Parallel()
	const one, two, twelve = "rabbit@10.0.0.1", "rabbit@10.0.0.2", "rabbit@10.0.0.12"
	on := func(node string) string { return node }
	for name, tc := range map[string]struct {
		queue        copies
		node         string
		behind, only bool
	}{
		"alone":                  {copies{Messages: 1, Leader: on(one)}, one, false, true},
		"alone and empty":        {copies{Leader: on(one)}, one, false, false},
		"with a whole copy":      {copies{Messages: 1, Leader: on(one), All: []string{on(two)}, Whole: []string{on(two)}}, one, false, false},
		"with half a copy":       {copies{Messages: 1, Leader: on(one), All: []string{on(two)}}, one, false, true},
		"half a copy":            {copies{Messages: 1, Leader: on(one), All: []string{on(two)}}, two, true, false},
		"a whole copy":           {copies{Messages: 1, Leader: on(one), All: []string{on(two)}, Whole: []string{on(two)}}, two, false, false},
		"another name like ours": {copies{Messages: 1, Leader: on(twelve)}, one, false, false},
	} {
		if behind, only := tc.queue.behind(tc.node), tc.queue.onlyOn(tc.node); behind != tc.behind || only != tc.only {
			t.Errorf("%s: behind: %v, only: %v", name, behind, only)
		}
	}
}

// TestParseCopies reads an answer as RabbitMQ 3.10 gave it, in parts.
func TestParseCopies(t *testing.T) {
	t.Parallel()
	got, err := parseCopies(`"ZGViY2ktYQ== 3 rabbit@10.0.0.1 -,rabbit@10.0.0.2,rabbit@10.0"
 ".0.3 -,rabbit@10.0.0.3;YiBj -1 rabbit@10.0.0.2 - -;"`)
	want := []copies{
		{"debci-a", 3, "rabbit@10.0.0.1", []string{"rabbit@10.0.0.2", "rabbit@10.0.0.3"}, []string{"rabbit@10.0.0.3"}},
		{"b c", -1, "rabbit@10.0.0.2", []string{}, []string{}},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err := parseCopies("[]"); err != nil || len(got) != 0 {
		t.Errorf("no queues: %v, %v", got, err)
	}
	if _, err := parseCopies(`"half a line"`); err == nil {
		t.Error("half a line is an answer")
	}
}
