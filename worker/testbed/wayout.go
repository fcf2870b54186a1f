package testbed

import (
	"context"
	"log/slog"
)

// The network of a run, whichever way out it has. Its addresses come from the range for benchmarks (RFC 2544), which no real
// network should use: the usual 10.0.2.0/24 of user-mode networks would hide a virtual machine's own gateway and proxy.
const (
	runNetwork = "198.19.255.0/24"
	runAddress = "198.19.255.100"
	runGateway = "198.19.255.2"

	// Nameserver is the address at which every run finds a resolver, whatever this machine's is and wherever it listens: the
	// way out answers there. Images name it in their /etc/resolv.conf.
	Nameserver = "198.19.255.3"

	// wayOutDevice is the only interface of a run, beside its loopback, that leads out of it.
	wayOutDevice = "out0"
)

// With IPv6 a run has these addresses; slirp4netns knows no others.
const (
	runNetwork6 = "fd00::/64"
	runAddress6 = "fd00::100"
	runGateway6 = "fd00::2"
)

// wayOut connects the network of one run.
type wayOut interface {
	// gone is closed when the way out has ended before it was stopped; nil for one that cannot.
	gone() <-chan struct{}

	// lost says why it did.
	lost() string

	// stop takes the way out off, and returns when nothing of it is left.
	stop(log *slog.Logger)
}

var (
	_ wayOut = (*slirp)(nil)
	_ wayOut = (*gateway)(nil)
)

// connect gives the network of a first process its way out, and returns when the process can configure its end.
func (c confinement) connect(ctx context.Context, pid int) (wayOut, error) {
	if c.gateway != nil {
		return startGateway(ctx, pid, *c.gateway, c.log)
	}
	return startSlirp(ctx, pid, c)
}
