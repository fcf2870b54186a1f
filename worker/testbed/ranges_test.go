package testbed

import (
	"net/netip"
	"strings"
	"testing"
)

func TestPairs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		of               string
		number           int
		machine, gateway string
	}{
		{"198.19.252.0/23", 0, "198.19.252.0", "198.19.252.1"},
		{"198.19.252.0/23", 1, "198.19.252.2", "198.19.252.3"},
		{"198.19.252.0/23", 127, "198.19.252.254", "198.19.252.255"},
		{"198.19.252.0/23", 128, "198.19.253.0", "198.19.253.1"},
		{"10.255.254.128/26", 31, "10.255.254.190", "10.255.254.191"},
		{"fd8a:6a3e:1f0c::/119", 255, "fd8a:6a3e:1f0c::1fe", "fd8a:6a3e:1f0c::1ff"},
	} {
		of := netip.MustParsePrefix(test.of)
		machine, gateway := pairOf(of, test.number)
		if machine.String() != test.machine || gateway.String() != test.gateway || !of.Contains(gateway) {
			t.Errorf("pair %d of %s: %s and %s, want %s and %s", test.number, of, machine, gateway, test.machine, test.gateway)
		}
	}
	for _, test := range []struct {
		ipv4, ipv6 string
		want       int
	}{
		{"198.19.252.0/23", "fd8a:6a3e:1f0c::/119", 256},
		{"10.0.0.0/31", "fd8a::/48", 1},
		{"10.0.0.0/16", "fd8a::/127", 1},
		{"10.0.0.0/16", "fd8a::/48", mostGateways},
	} {
		r := ranges{netip.MustParsePrefix(test.ipv4), netip.MustParsePrefix(test.ipv6)}
		if got := r.pairs(); got != test.want {
			t.Errorf("%s: %d pairs, want %d", r, got, test.want)
		}
	}
	if longest := gatewayDevice(mostGateways - 1); len(longest) > 15 {
		t.Errorf("%s is too long for the kernel", longest)
	}
}

func TestPrivate(t *testing.T) {
	t.Parallel()
	if err := (Network{}).ranges().private(); err != nil {
		t.Error(err)
	}
	for name, test := range map[string]struct{ ipv4, ipv6, reason string }{
		"public":                  {"203.0.113.0/24", "fd8a::/119", "range: 203.0.113.0/24 is not private"},
		"private and public":      {"172.0.0.0/8", "fd8a::/119", "range: 172.0.0.0/8 is not private"},
		"public IPv6":             {"10.0.0.0/24", "2001:db8::/119", "range6: 2001:db8::/119 is not private"},
		"loopback":                {"127.0.0.0/24", "fd8a::/119", "range: 127.0.0.0/24 is not private"},
		"link-local":              {"10.0.0.0/24", "fe80::/119", "range6: fe80::/119 is not private"},
		"every run's":             {"198.19.0.0/16", "fd8a::/119", "that every run has, 198.19.255.0/24"},
		"every run's, inside":     {"198.19.255.128/26", "fd8a::/119", "that every run has, 198.19.255.0/24"},
		"every run's, with IPv6":  {"10.0.0.0/24", "fd00::100/120", "that every run has, fd00::/64"},
		"every run's, all around": {"10.0.0.0/24", "fd00::/48", "that every run has, fd00::/64"},
	} {
		err := ranges{netip.MustParsePrefix(test.ipv4), netip.MustParsePrefix(test.ipv6)}.private()
		if err == nil || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.reason)
		}
	}
}

func TestCollision(t *testing.T) {
	t.Parallel()
	const list = `[{"dst":"default","gateway":"10.9.0.1","dev":"eth0"},{"dst":"10.9.0.0/16","dev":"eth0","scope":"link"},
		{"dst":"192.168.7.7","dev":"wg0"},{"type":"blackhole","dst":"172.30.0.0/24"},{"dst":"198.19.252.0/31","dev":"autopkgtest-0"},
		{"type":"local","dst":"fd77::1","dev":"eth0"},{"type":"multicast","dst":"ff00::/8","dev":"eth0"}]`
	for of, want := range map[string]string{
		"198.19.252.0/23": "", "10.10.0.0/24": "", "fd78::/119": "",
		"10.9.8.0/24": "10.9.0.0/16 by eth0", "10.0.0.0/8": "10.9.0.0/16 by eth0", "192.168.7.0/24": "192.168.7.7 by wg0",
		"172.30.0.128/26": "172.30.0.0/24 by nobody", "fd77::/119": "fd77::1 by eth0",
	} {
		err := collision(netip.MustParsePrefix(of), []byte(list))
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: error %v, want %q", of, err, want)
		}
	}
	if err := collision(DefaultRange, nil); err != nil {
		t.Errorf("no routes at all: %v", err)
	}
	if collision(DefaultRange, []byte("{")) == nil {
		t.Error("nonsense is taken for a list")
	}
}
