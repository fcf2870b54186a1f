package testbed

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func opened(network string, port uint16) opening {
	if ip, err := netip.ParseAddr(network); err == nil {
		return opening{netip.PrefixFrom(ip, ip.BitLen()), port}
	}
	return opening{netip.MustParsePrefix(network), port}
}

func TestFilterRuleset(t *testing.T) {
	t.Parallel()
	base := filter{device: wayOutDevice, nameserver: netip.MustParseAddr(Nameserver)}
	for name, change := range map[string]func(*filter){
		"ipv4": func(f *filter) {
			f.own = []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("fd00::2")}
		},
		"ipv6": func(f *filter) {
			f.ipv6 = true
			f.own = []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("192.0.2.2"),
				netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("fd00::2")}
		},
		"allowed": func(f *filter) {
			f.ipv6 = true
			f.allow = []opening{opened("10.1.2.3", 3142), opened("10.2.0.0/16", 0), opened("fd12::/64", 80), opened("fd13::1", 0), opened("10.1.2.3", 3142)}
		},
		"allowed-without-ipv6": func(f *filter) { f.allow = []opening{opened("fd13::1", 0), opened("10.2.0.0/16", 0)} },
		"nothing":              func(*filter) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := base
			change(&f)
			checkRules(t, "filter-"+name, f.ruleset())
			checkRules(t, "gateway-"+name, f.gatewayRules())
		})
	}
	checkRules(t, "machine", machineRules)
}

func checkRules(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".nft")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

func TestMachineFilter(t *testing.T) {
	t.Parallel()
	f, err := machineFilter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, ip := range f.own {
		if ip.IsLoopback() || ip.IsLinkLocalUnicast() {
			t.Errorf("%s is listed, but closed anyway", ip)
		}
	}
}

func TestDestinationOf(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]Destination{
		"http://deb.debian.org/debian":  {Name: "deb.debian.org", Port: 80},
		"https://joe:S3KRIT@proxy:3142": {Name: "proxy", Port: 3142},
		"https://archive/":              {Name: "archive", Port: 443},
		"http://10.1.2.3:8080/x":        {Network: netip.MustParsePrefix("10.1.2.3/32"), Port: 8080},
		"http://[fd00::1]/x":            {Network: netip.MustParsePrefix("fd00::1/128"), Port: 80},
		"http://[::ffff:10.1.2.3]/x":    {Network: netip.MustParsePrefix("10.1.2.3/32"), Port: 80},
		"ftp://mirror/debian":           {Name: "mirror"},
	} {
		got, err := DestinationOf(address)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", address, got, err, want)
		}
	}
	for _, address := range []string{"", "mirror", "http://", "http://joe:S3KRIT@mirror:99999/", "http://joe:S3KRIT@mirror\x00/"} {
		if _, err := DestinationOf(address); err == nil || strings.Contains(err.Error(), "S3KRIT") {
			t.Errorf("%q: error = %v", address, err)
		}
	}
}

func TestDestinations(t *testing.T) {
	t.Parallel()
	n := Network{Allow: []Destination{{Name: "a", Port: 1}}, Mirror: "http://b/", Proxy: "http://c:2/"}
	got, err := n.destinations(ImageInfo{Mirror: "http://d/x", Proxy: "http://e:3", Sources: []string{"http://f/y"}})
	want := []Destination{{Name: "a", Port: 1}, {Name: "b", Port: 80}, {Name: "c", Port: 2}, {Name: "d", Port: 80}, {Name: "e", Port: 3}, {Name: "f", Port: 80}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" || err != nil {
		t.Errorf("error %v, destinations (-want +got):\n%s", err, diff)
	}
	for _, bad := range []Network{{Mirror: "nonsense"}, {Proxy: "http://127.0.0.1:3142"}, {Allow: []Destination{{Network: netip.MustParsePrefix("::1/128")}}}} {
		if _, err := bad.destinations(ImageInfo{}); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	answers := map[string][]netip.Addr{"mirror": {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::ffff:10.0.0.2"), netip.MustParseAddr("127.0.0.1")}}
	asked := 0
	n := newNames()
	n.lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		asked++
		if found, ok := answers[host]; ok {
			return found, nil
		}
		return nil, errors.New("no such name")
	}
	log := slog.New(slog.DiscardHandler)
	all := []Destination{{Name: "mirror", Port: 80}, {Name: "gone"}, {Network: netip.MustParsePrefix("10.9.0.0/16")}}
	want := []opening{opened("10.0.0.1", 80), opened("10.0.0.2", 80), opened("10.9.0.0/16", 0)}
	for range 2 {
		got := n.open(t.Context(), all, log)
		if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
			t.Fatalf("%v, want %v", got, want)
		}
	}
	if asked != 2 {
		t.Errorf("%d questions for 2 names within a minute", asked)
	}
	// An answer that has grown old stays when there is no new one.
	n.known["mirror"] = known{addresses: n.known["mirror"].addresses}
	delete(answers, "mirror")
	if got := n.open(t.Context(), all[:1], log); len(got) != 2 {
		t.Errorf("the old answer is gone: %v", got)
	}
}

func TestFilterHint(t *testing.T) {
	t.Parallel()
	missing := errors.New("nft: exit status 1: /dev/stdin:1:1-7: Error: Could not process rule: No such file or directory")
	own, gateway := filterHint(missing, (filter{}).ruleset()), filterHint(missing, (filter{}).gatewayRules())
	if !strings.Contains(own, "nft_reject_inet)") || !strings.Contains(gateway, "nft_masq)") {
		t.Errorf("%q, %q", own, gateway)
	}
	if hint := filterHint(errors.New("syntax error"), ""); hint != "" {
		t.Errorf("%q", hint)
	}
}
