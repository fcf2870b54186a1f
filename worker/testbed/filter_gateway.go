package testbed

import (
	"fmt"
	"strings"
)

// The interfaces of a gateway: towards the run, and towards this machine.
const (
	gatewayIn = "in0"
	gatewayUp = "up0"
)

// mostConnections of one run at a time: this machine's own table of connections has room for hundreds of thousands, which all
// that goes through it shares.
const mostConnections = 16384

// gatewayRules is the filter for a run's gateway, see gateway. What the run sends passes it and cannot change it; so whatever
// is not let through by name is refused, also what only an interface of the kernel's, unlike slirp4netns, would carry.
func (f filter) gatewayRules() string {
	var b strings.Builder
	// Nobody else's address may be used, and what the kernel can find no connection for would leave without being masked.
	fmt.Fprintf(&b, `table inet autopkgtest {
	chain prerouting {
		type filter hook prerouting priority raw; policy accept;
		iifname %[1]q ip saddr != %[2]s drop
		iifname %[1]q ip6 saddr != { %[3]s, fe80::/10 } drop
	}
	chain input {
		type filter hook input priority filter; policy drop;
		ct state invalid drop
`, gatewayIn, runNetwork, runNetwork6)
	if f.ipv6 {
		// Without these there is no IPv6 at all: they find the neighbours.
		b.WriteString("\t\ticmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n")
	}
	fmt.Fprintf(&b, `		iifname %[1]q ip daddr %[3]s meta l4proto { tcp, udp } th dport 53 accept
		iifname %[1]q goto refuse
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state invalid drop
		iifname %[1]q oifname %[2]q goto leave
		iifname %[2]q oifname %[1]q ct state { established, related } accept
		iifname %[1]q goto refuse
	}
	chain leave {
		meta l4proto != { tcp, udp, icmp, ipv6-icmp } goto refuse
		ct state new ct count over %[4]d goto refuse
`, gatewayIn, gatewayUp, f.nameserver, mostConnections)
	f.writeDestinations(&b)
	fmt.Fprintf(&b, `	}
%s	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		oifname %q masquerade
	}
}
`, refuseChain, gatewayUp)
	return b.String()
}

// machineRules are what this machine does for all gateways that there are. They speak of their interfaces alone, so they are
// the same for every worker: nobody reaches a run, another run neither, and what leaves has this machine's address.
const machineRules = `table inet ` + machineTable + ` {
	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname "` + gatewayPrefix + `*" ct state invalid drop
		oifname "` + gatewayPrefix + `*" ct state != { established, related } drop
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		iifname "` + gatewayPrefix + `*" masquerade
	}
}
`
