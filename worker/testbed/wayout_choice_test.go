package testbed

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	fatal, other := obstacle{"it does not forward", true}, obstacle{"it has no IPv6", false}
	for name, test := range map[string]struct {
		kind      string
		obstacles []obstacle
		want      string // or the error's reason
		fails     bool
	}{
		"nothing speaks against it":      {"", nil, "veth", false},
		"it cannot work":                 {"", []obstacle{other, fatal}, "slirp, because it has no IPv6; it does not forward", false},
		"it is not as good":              {"", []obstacle{other}, "slirp, because it has no IPv6", false},
		"asked for":                      {WayOutVeth, nil, "veth", false},
		"asked for, but not as good":     {WayOutVeth, []obstacle{other}, "veth, but it has no IPv6", false},
		"asked for, and it cannot work":  {WayOutVeth, []obstacle{other, fatal}, "kind = veth: it does not forward", true},
		"asked for, and two things lack": {WayOutVeth, []obstacle{fatal, {"no nft", true}}, "it does not forward; no nft", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			way, err := decide(test.kind, test.obstacles, true)
			if test.fails {
				if !errors.Is(err, ErrWayOut) || !strings.HasSuffix(err.Error(), test.want) {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil || way.String() != test.want {
				t.Errorf("%q, %v, want %q", way, err, test.want)
			}
		})
	}
}

// TestChooseWay is about what does not depend on the machine.
func TestChooseWay(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		properties Properties
		kind       string
		want       string
		fails      bool
	}{
		"an account's":                {Properties{}, "", "slirp", false},
		"an account's, by wish":       {Properties{}, WayOutSlirp, "slirp", false},
		"root's, by wish":             {Properties{Privileged: true}, WayOutSlirp, "slirp", false},
		"an account cannot":           {Properties{}, WayOutVeth, "", true},
		"no such thing":               {Properties{}, "pasta", "", true},
		"on the machine's own":        {Properties{OnMachine: true}, WayOutVeth, "this machine's own", false},
		"on the machine's own, as is": {Properties{OnMachine: true}, "", "this machine's own", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &Runner{backend: declared{test.properties}, network: Network{Kind: test.kind}, log: slog.New(slog.DiscardHandler)}
			way, err := r.chooseWay(t.Context())
			if test.fails != errors.Is(err, ErrWayOut) || (!test.fails && way.String() != test.want) {
				t.Errorf("%q, %v, want %q", way, err, test.want)
			}
		})
	}
}

// declared is a backend that is nothing but its properties.
type declared struct{ properties Properties }

func (declared) Name() string               { return "declared" }
func (declared) Arguments(Testbed) []string { return nil }
func (d declared) Properties() Properties   { return d.properties }

func TestDropsForwarded(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile("testdata/chains.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := dropsForwarded(list); err != nil {
		t.Errorf("a firewall that lets through what is forwarded: %v", err)
	}
	closed := strings.Replace(string(list), `"hook": "forward", "prio": 0, "policy": "accept"`, `"hook": "forward", "prio": 0, "policy": "drop"`, 1)
	if err := dropsForwarded([]byte(closed)); err == nil || !strings.Contains(err.Error(), "table ip filter, chain FORWARD") {
		t.Errorf("one that drops it: %v", err)
	}
	for _, text := range []string{"", "{", "[]"} {
		if dropsForwarded([]byte(text)) == nil {
			t.Errorf("%q is taken for a list", text)
		}
	}
}
