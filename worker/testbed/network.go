package testbed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Network is what the runs of a machine may reach beside DNS and public addresses. Everything else is refused: this
// machine's own addresses, private networks, link-local and other special ranges, and with them the services that give
// out a cloud instance's credentials.
type Network struct {
	Allow []Destination

	// Mirror and Proxy are URLs, or empty. The archive and the proxy of an image are allowed by themselves, see ImageInfo.
	Mirror string
	Proxy  string

	// Kind is the way out, WayOutVeth or WayOutSlirp; empty for the best one that this machine allows.
	Kind string

	// Range and Range6 are where the pairs of WayOutVeth get their addresses from; not valid for DefaultRange and DefaultRange6.
	Range  netip.Prefix
	Range6 netip.Prefix
}

// The ways out of a run's network, as Network.Kind names them.
const (
	WayOutVeth  = "veth"  // the kernel's, through a namespace in which the filter is out of the run's reach; needs root
	WayOutSlirp = "slirp" // slirp4netns, a process of the account
)

// Destination is an address, a network or a name, on one port or on all.
type Destination struct {
	Network netip.Prefix // of a single address, all of its bits; not valid if there is a name
	Name    string       // resolved when a run starts
	Port    uint16       // zero for every port
}

// DestinationOf is the host and port that a URL leads to.
func DestinationOf(address string) (Destination, error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return Destination{}, fmt.Errorf("%q is not a URL with a host", redacted(address))
	}
	port := map[string]uint64{"http": 80, "https": 443}[u.Scheme]
	if text := u.Port(); text != "" {
		if port, err = strconv.ParseUint(text, 10, 16); err != nil {
			return Destination{}, fmt.Errorf("%q has no valid port", u.Redacted())
		}
	}
	d := Destination{Name: u.Hostname(), Port: uint16(port)}
	if ip, err := netip.ParseAddr(d.Name); err == nil {
		ip = ip.Unmap().WithZone("")
		d.Name, d.Network = "", netip.PrefixFrom(ip, ip.BitLen())
	}
	return d, nil
}

// redacted keeps a password out of an error, also one in an address that cannot be read.
func redacted(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	return "an address that cannot be read"
}

// opening is a destination after its name was looked up.
type opening struct {
	network netip.Prefix
	port    uint16
}

// errLoopback refuses an opening that could not work.
var errLoopback = errors.New("the loopback of a run is its own, it cannot reach this machine's: let the service listen on another address")

// destinations are those that are allowed to the runs of an image.
func (n Network) destinations(info ImageInfo) ([]Destination, error) {
	all := append([]Destination{}, n.Allow...)
	for _, address := range append([]string{n.Mirror, n.Proxy, info.Mirror, info.Proxy}, info.Sources...) {
		if address == "" {
			continue
		}
		d, err := DestinationOf(address)
		if err != nil {
			return nil, fmt.Errorf("the network of the run: %w", err)
		}
		all = append(all, d)
	}
	for _, d := range all {
		if d.Network.IsValid() && d.Network.Addr().IsLoopback() {
			return nil, fmt.Errorf("the network of the run: %s: %w", d.Network, errLoopback)
		}
	}
	return all, nil
}

// names looks up the names of destinations and remembers them for a while: runs start many times a minute. Its methods
// may be called from several goroutines.
type names struct {
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)

	mu    sync.Mutex
	known map[string]known
}

type known struct {
	addresses []netip.Addr
	until     time.Time
}

const (
	lookupLimit = 5 * time.Second
	lookupAge   = time.Minute
)

func newNames() *names {
	return &names{lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}}
}

// open turns destinations into addresses. A name that cannot be looked up now is passed over, or stands for what it was
// before: most are of public hosts, which need no opening, and if not, the tests will say what they miss.
func (n *names) open(ctx context.Context, all []Destination, log *slog.Logger) []opening {
	var openings []opening
	for _, d := range all {
		if d.Name == "" {
			openings = append(openings, opening{d.Network, d.Port})
			continue
		}
		for _, ip := range n.addresses(ctx, d.Name, log) {
			if ip = ip.Unmap().WithZone(""); !ip.IsLoopback() {
				openings = append(openings, opening{netip.PrefixFrom(ip, ip.BitLen()), d.Port})
			}
		}
	}
	return openings
}

func (n *names) addresses(ctx context.Context, host string, log *slog.Logger) []netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.known[host]
	if time.Now().Before(before.until) {
		return before.addresses
	}
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	found, err := n.lookup(ctx, host)
	if err != nil {
		log.Warn("the name of an allowed destination is not known; if it is private, tests cannot reach it", "name", host, "error", err)
		found = before.addresses
	}
	if n.known == nil {
		n.known = map[string]known{}
	}
	n.known[host] = known{found, time.Now().Add(lookupAge)}
	return found
}
