package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// Destination is what a test may reach although it is neither public nor needed by every test: an address, a network or a
// name, on one port or on all.
type Destination struct {
	Network netip.Prefix // of a single address, all of its bits; not valid if there is a name
	Name    string       // resolved by whoever lets it through
	Port    uint16       // zero for every port
}

var hostPattern = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9_.-]*[a-zA-Z0-9])?$`)

// onlyDigits are no name: 127.1 and 10.0.0.300 are mistakes.
var onlyDigits = regexp.MustCompile(`^[0-9.]+$`)

// ParseDestination reads ADDRESS, ADDRESS/BITS or NAME, each with :PORT or without; an IPv6 one that has a port stands in
// brackets.
func ParseDestination(text string) (Destination, error) {
	host, port := text, ""
	switch {
	case strings.HasPrefix(text, "["):
		inner, rest, found := strings.Cut(text[1:], "]")
		after, hasPort := strings.CutPrefix(rest, ":")
		if !found || (rest != "" && !hasPort) {
			return Destination{}, badDestination(text)
		}
		host, port = inner, after
		if hasPort && port == "" || !strings.Contains(host, ":") {
			return Destination{}, badDestination(text)
		}
	case strings.Count(text, ":") == 1:
		host, port, _ = strings.Cut(text, ":")
		if port == "" {
			return Destination{}, badDestination(text)
		}
	}
	var d Destination
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return Destination{}, fmt.Errorf("%q: %q is not a port", text, port)
		}
		d.Port = uint16(n)
	}
	if network, err := netip.ParsePrefix(host); err == nil {
		if network.Masked() != network {
			return Destination{}, fmt.Errorf("%q: the network is %s", text, network.Masked())
		}
		d.Network = network
		return d, nil
	}
	if address, err := netip.ParseAddr(host); err == nil && address.Zone() == "" {
		d.Network = netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen())
		return d, nil
	}
	if !hostPattern.MatchString(host) || onlyDigits.MatchString(host) || strings.Contains(host, "..") {
		return Destination{}, badDestination(text)
	}
	d.Name = host
	return d, nil
}

func badDestination(text string) error {
	return fmt.Errorf("%q is not ADDRESS, ADDRESS/BITS or NAME, with :PORT or without (an IPv6 address with a port is [ADDRESS]:PORT)",
		text)
}

// String is what ParseDestination reads back.
func (d Destination) String() string {
	host := d.Name
	if d.Network.IsValid() {
		host = d.Network.String()
		if d.Network.IsSingleIP() {
			host = d.Network.Addr().String()
		}
	}
	if d.Port == 0 {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(int(d.Port)))
}

func (d *document) destinations(section, key string) []Destination {
	var all []Destination
	for _, word := range strings.Fields(d.value(section, key)) {
		destination, err := ParseDestination(word)
		if err != nil {
			d.fail(section, key, "%v", err)
		}
		all = append(all, destination)
	}
	return all
}
