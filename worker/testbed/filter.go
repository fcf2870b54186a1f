package testbed

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// filter says what leaves a run's network. Everything that does passes one interface, so the rules are about that one:
// what stays inside of the network, on its loopback or on a bridge that a container's tools have made, is the run's own.
type filter struct {
	device     string       // the interface that leads out
	nameserver netip.Addr   // answers DNS, and nothing else may be asked of it
	allow      []opening    // let through although one of the following
	own        []netip.Addr // this machine's, on any interface
	ipv6       bool         // whether IPv6 leads anywhere
}

// closed4 are the IPv4 ranges that are not public: this network, private ones, carrier-grade NAT, loopback, link-local
// (where clouds give out an instance's credentials), protocol assignments, benchmarks (the run's own network is there),
// multicast, and what is reserved, with the broadcast address. The last one is public, and Azure's metadata.
var closed4 = []string{"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"}

// open6 is all that is public in IPv6; outside of it are, among others, unique local addresses, link-local ones,
// multicast, IPv4-mapped addresses and their translations. Two ranges within lead back to IPv4: Teredo and 6to4.
const open6 = "2000::/3"

var closed6 = []string{"2001::/32", "2002::/16"}

// ruleset is the filter in the language of nft, for the run's own network. It is a pure function: equal filters have equal
// rules.
//
// What it refuses it rejects, so that a test that tries gets its error at once instead of waiting for a time-out.
func (f filter) ruleset() string {
	var b strings.Builder
	fmt.Fprintf(&b, `table inet autopkgtest {
	chain output {
		type filter hook output priority filter; policy accept;
		oifname %[1]q jump leave
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		oifname %[1]q jump leave
	}
	chain leave {
		ip daddr %[2]s meta l4proto { tcp, udp } th dport 53 accept
`, f.device, f.nameserver)
	if f.ipv6 {
		// Without these there is no IPv6 at all: they find the neighbour that is the way out.
		b.WriteString("\t\ticmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept\n")
	}
	f.writeDestinations(&b)
	b.WriteString("\t}\n" + refuseChain + "}\n")
	return b.String()
}

// refuseChain answers what is not let through.
const refuseChain = `	chain refuse {
		meta l4proto tcp reject with tcp reset
		reject with icmpx admin-prohibited
	}
`

// writeDestinations writes the rules that decide on where a packet goes to.
func (f filter) writeDestinations(b *strings.Builder) {
	for _, o := range f.openings() {
		b.WriteString("\t\t" + o + "\n")
	}
	own4, own6 := f.ownAddresses()
	for _, addresses := range [][]string{own4, closed4} {
		if len(addresses) > 0 {
			fmt.Fprintf(b, "\t\tip daddr { %s } goto refuse\n", strings.Join(addresses, ", "))
		}
	}
	switch {
	case !f.ipv6:
		b.WriteString("\t\tmeta nfproto ipv6 goto refuse\n")
	default:
		if len(own6) > 0 {
			fmt.Fprintf(b, "\t\tip6 daddr { %s } goto refuse\n", strings.Join(own6, ", "))
		}
		fmt.Fprintf(b, "\t\tip6 daddr { %s } goto refuse\n\t\tip6 daddr != %s goto refuse\n", strings.Join(closed6, ", "), open6)
	}
	b.WriteString("\t\taccept\n")
}

func (f filter) openings() []string {
	var rules []string
	for _, o := range f.allow {
		family := "ip"
		if o.network.Addr().Is6() {
			if family = "ip6"; !f.ipv6 {
				continue
			}
		}
		where := o.network.Masked().String()
		if o.network.IsSingleIP() {
			where = o.network.Addr().String()
		}
		rule := fmt.Sprintf("%s daddr %s accept", family, where)
		if o.port != 0 {
			rule = fmt.Sprintf("%s daddr %s meta l4proto { tcp, udp } th dport %d accept", family, where, o.port)
		}
		rules = append(rules, rule)
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}

func (f filter) ownAddresses() (ipv4, ipv6 []string) {
	own := slices.Clone(f.own)
	slices.SortFunc(own, netip.Addr.Compare)
	for _, ip := range slices.Compact(own) {
		if ip.Is4() {
			ipv4 = append(ipv4, ip.String())
		} else {
			ipv6 = append(ipv6, ip.WithZone("").String())
		}
	}
	return ipv4, ipv6
}

// machineFilter is the filter of this machine as it is now, with openings.
func machineFilter(openings []opening) (filter, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return filter{}, fmt.Errorf("list the addresses of this machine: %w", err)
	}
	f := filter{device: wayOutDevice, nameserver: netip.MustParseAddr(Nameserver), allow: openings}
	public := netip.MustParsePrefix(open6)
	private6 := slices.ContainsFunc(openings, func(o opening) bool { return o.network.Addr().Is6() && !public.Overlaps(o.network) })
	for _, address := range addresses {
		prefix, err := netip.ParsePrefix(address.String())
		if err != nil {
			continue
		}
		ip := prefix.Addr().Unmap()
		if ip.IsLoopback() || ip.IsLinkLocalUnicast() {
			continue // closed anyway
		}
		f.own = append(f.own, ip)
		// A machine that has but private IPv6 addresses is not connected by IPv6, except to what is private and allowed.
		f.ipv6 = f.ipv6 || ip.Is6() && (public.Contains(ip) || private6)
	}
	return f, nil
}
