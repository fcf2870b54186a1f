package rabbitmq

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// CheckListen refuses addresses that a node could not listen on together: each is an IP address and there once, and the one
// that stands for all of them (0.0.0.0 or ::) is alone.
func CheckListen(addresses []string) error {
	wrong := func(address, cause, wayOut string) error {
		return &host.Problem{Kind: host.ErrInvalid, Thing: fmt.Sprintf("the address %q", address), Cause: cause, WayOut: wayOut}
	}
	var seen []netip.Addr
	for _, text := range addresses {
		address, err := netip.ParseAddr(text)
		switch {
		case err != nil || address.Zone() != "" || address.String() != text:
			return wrong(text, "cannot be listened on",
				"Write an IP address of this machine in its usual form, or 0.0.0.0 or :: for all of them; no name and no port")
		case slices.Contains(seen, address):
			return wrong(text, "is there twice", "Name it once")
		case address.IsUnspecified() && len(addresses) > 1:
			return wrong(text, "stands for all addresses", "Leave out the others")
		}
		seen = append(seen, address)
	}
	return nil
}

// Beyond are those addresses that other machines can reach.
func Beyond(addresses []string) (beyond []string) {
	for _, text := range addresses {
		if address, err := netip.ParseAddr(text); err == nil && !address.IsLoopback() {
			beyond = append(beyond, text)
		}
	}
	return beyond
}

// reachable is an address at which this machine reaches who listens on an address.
func reachable(d *host.Directory, listen string) string {
	switch address, err := netip.ParseAddr(listen); {
	case err != nil || !address.IsUnspecified():
		return listen
	case address.Is6():
		return "::1"
	}
	return d.Address()
}

// endpoint is an address and a port, written as the node's configuration wants it and as everybody else does.
type endpoint struct {
	address string
	port    int
}

// Conf is the form of rabbitmq.conf, whose IPv6 addresses have no brackets. The template reads it.
func (e endpoint) Conf() string { return e.address + ":" + strconv.Itoa(e.port) }

// Address and Port are for the template.
func (e endpoint) Address() string { return e.address }
func (e endpoint) Port() int       { return e.port }

func (e endpoint) String() string { return net.JoinHostPort(e.address, strconv.Itoa(e.port)) }

func endpoints(addresses []string, port int) []endpoint {
	var all []endpoint
	for _, address := range addresses {
		all = append(all, endpoint{address, port})
	}
	return all
}

func addressesOf(endpoints []endpoint) []string {
	var texts []string
	for _, e := range endpoints {
		texts = append(texts, e.String())
	}
	return texts
}
