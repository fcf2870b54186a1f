package rabbitmq

import (
	"net"
	"net/netip"
	"strconv"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

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
