package testbed

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
)

// The ranges from which gateways get their addresses if nobody chooses others: one beside the runs' own in the range for
// benchmarks, and a unique local one, made once at random.
var (
	DefaultRange  = netip.MustParsePrefix("198.19.252.0/23")
	DefaultRange6 = netip.MustParsePrefix("fd8a:6a3e:1f0c::/119")
)

// ranges have two addresses for each gateway: this machine's, and the gateway's.
type ranges struct {
	ipv4, ipv6 netip.Prefix
}

func (n Network) ranges() ranges {
	r := ranges{n.Range, n.Range6}
	if !r.ipv4.IsValid() {
		r.ipv4 = DefaultRange
	}
	if !r.ipv6.IsValid() {
		r.ipv6 = DefaultRange6
	}
	return r
}

func (r ranges) String() string { return r.ipv4.String() + " and " + r.ipv6.String() }

// pairs is how many gateways there can be.
func (r ranges) pairs() int {
	bits := min(r.ipv4.Addr().BitLen()-r.ipv4.Bits(), r.ipv6.Addr().BitLen()-r.ipv6.Bits())
	if bits > 16 {
		return mostGateways
	}
	return min(1<<bits/2, mostGateways)
}

// pairOf returns the addresses of a gateway's pair in a range.
func pairOf(of netip.Prefix, number int) (machine, gateway netip.Addr) {
	bytes := of.Addr().AsSlice()
	offset := 2 * number
	for i := len(bytes) - 1; offset > 0 && i >= 0; i-- {
		offset += int(bytes[i])
		bytes[i] = byte(offset)
		offset >>= 8
	}
	machine, _ = netip.AddrFromSlice(bytes) // as many as there were
	return machine, machine.Next()
}

// route is what `ip -json route show` tells of one.
type route struct {
	Destination string `json:"dst"`
	Device      string `json:"dev"`
}

// check fails if a range may not be used: it is public, so that the filter would let it through, or in use on this machine,
// where it would hide an address or another network, or inside of runs.
func (r ranges) check(ctx context.Context) error {
	if err := r.private(); err != nil {
		return err
	}
	path, err := findCommand("ip", "iproute2")
	if err != nil {
		return err
	}
	for family, of := range map[string]netip.Prefix{"-4": r.ipv4, "-6": r.ipv6} {
		out, err := exec.CommandContext(ctx, path, "-json", family, "route", "show", "table", "all").Output()
		if err != nil {
			return fmt.Errorf("list the routes of this machine: ip: %w", err)
		}
		if err := collision(of, out); err != nil {
			return err
		}
	}
	return nil
}

// private4 and private6 are where ranges may be: nothing there is public, and all of it can be routed.
var (
	private4 = []string{"10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15"}
	private6 = []string{"fc00::/7"}
)

func (r ranges) private() error {
	switch {
	case !within(r.ipv4, private4):
		return fmt.Errorf("[network] range: %s is not private, that is within one of %s", r.ipv4, strings.Join(private4, ", "))
	case !within(r.ipv6, private6):
		return fmt.Errorf("[network] range6: %s is not private, that is within %s", r.ipv6, strings.Join(private6, ", "))
	case netip.MustParsePrefix(runNetwork).Overlaps(r.ipv4):
		return fmt.Errorf("[network] range: %s has the network in it that every run has, %s", r.ipv4, runNetwork)
	case netip.MustParsePrefix(runNetwork6).Overlaps(r.ipv6):
		return fmt.Errorf("[network] range6: %s has the network in it that every run has, %s", r.ipv6, runNetwork6)
	}
	return nil
}

func within(what netip.Prefix, networks []string) bool {
	return slices.ContainsFunc(networks, func(text string) bool {
		network := netip.MustParsePrefix(text)
		return network.Bits() <= what.Bits() && network.Contains(what.Addr())
	})
}

func collision(of netip.Prefix, list []byte) error {
	var routes []route
	if len(list) > 0 {
		if err := json.Unmarshal(list, &routes); err != nil {
			return fmt.Errorf("list the routes of this machine: ip: %w", err)
		}
	}
	for _, r := range routes {
		there, err := parseNetwork(r.Destination)
		if err != nil || there.Bits() == 0 || strings.HasPrefix(r.Device, gatewayPrefix) {
			continue // the default route, or one of ours
		}
		if there.Overlaps(of) {
			return fmt.Errorf("[network] range: this machine has a route to %s by %s, so %s is not free: choose another one",
				r.Destination, cmp.Or(r.Device, "nobody"), of)
		}
	}
	return nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}
