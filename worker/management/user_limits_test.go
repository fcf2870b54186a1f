package management

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUserLimits(t *testing.T) {
	t.Parallel()
	f, m := newFakeBroker(t)
	writes := func() (n int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, request := range f.requests {
			if !strings.HasPrefix(request, http.MethodGet) {
				n++
			}
		}
		return n
	}
	for _, step := range []struct {
		name   string
		wanted map[Limit]int
		writes int // until now
	}{
		{"none", map[Limit]int{}, 0},
		{"both", map[Limit]int{MaxConnections: 4, MaxChannels: 40}, 2},
		{"the same", map[Limit]int{MaxConnections: 4, MaxChannels: 40}, 2},
		{"one changes", map[Limit]int{MaxConnections: 5, MaxChannels: 40}, 3},
		{"one goes, none is zero", map[Limit]int{MaxConnections: 0}, 5},
		{"none again", map[Limit]int{}, 6},
	} {
		if err := m.PutUserLimits(t.Context(), "u/1", step.wanted); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		got, err := m.UserLimits(t.Context(), "u/1")
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if diff := cmp.Diff(step.wanted, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
		if n := writes(); n != step.writes {
			t.Errorf("%s: %d writes until now, want %d", step.name, n, step.writes)
		}
	}
	f.mu.Lock()
	f.userLimits["u/1"] = map[string]any{"max-channels": -1}
	f.mu.Unlock()
	if got, err := m.UserLimits(t.Context(), "u/1"); err != nil || len(got) != 0 {
		t.Errorf("less than nothing is a limit: %v, %v", got, err)
	}
}

// TestCheckUserLimits has the answers of brokers of several versions.
func TestCheckUserLimits(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		flags   map[string]string // nil: there is no such page
		without bool              // there are no limits of a user
		says    string
	}{
		"on":              {map[string]string{"user_limits": "enabled"}, false, ""},
		"off":             {map[string]string{"user_limits": "disabled"}, false, "rabbitmqctl enable_feature_flag user_limits"},
		"3.8.9":           {map[string]string{"quorum_queue": "enabled"}, true, "from 3.8.10 on"},
		"before flags":    {nil, true, "from 3.8.10 on"},
		"a flag no more":  {map[string]string{"khepri_db": "disabled"}, false, ""},
		"no page of them": {nil, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, m := newFakeBroker(t)
			f.flags = tc.flags
			if tc.without {
				f.userLimits = nil
			}
			err := m.CheckUserLimits(t.Context())
			if tc.says == "" && err != nil || tc.says != "" && (!errors.Is(err, ErrNoUserLimits) || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("error %v, want %q", err, tc.says)
			}
		})
	}
	f, m := newFakeBroker(t)
	f.failWith = http.StatusServiceUnavailable
	if err := m.CheckUserLimits(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a broker that does not answer: %v", err)
	}
}
