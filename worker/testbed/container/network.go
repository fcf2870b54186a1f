package container

// The bridge's network lies beside that of the run, in the range for benchmarks.
const (
	Bridge        = "lxcbr0"
	bridgeNetwork = "198.19.254.0/24"

	// Gateway is the bridge's own address; Address, with the network's length, is that of the one container that a run has.
	Gateway = "198.19.254.1"
	Address = "198.19.254.2/24"
)

// Network is a script that makes a bridge in the network of the run, and a way from it to the run's own way out, where the run's
// filter is.
const Network = `ip link add ` + Bridge + ` type bridge
ip address add ` + Gateway + `/24 dev ` + Bridge + `
ip link set ` + Bridge + ` up
echo 1 >/proc/sys/net/ipv4/ip_forward
nft -f - <<'RULES'
table ip testbed {
    chain out {
        type nat hook postrouting priority srcnat;
        ip saddr ` + bridgeNetwork + ` oifname != "` + Bridge + `" masquerade
    }
}
RULES
`
