package openstack

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Directions and families of rules, as Neutron writes them.
const (
	Ingress = "ingress"
	Egress  = "egress"
	IPv4    = "IPv4"
	IPv6    = "IPv6"
)

// Self stands, as a rule's RemoteGroup, for the group that the rule is in.
const Self = "self"

// NoPort is that there is no bound.
const NoPort = -1

// lastPort is the greatest that there is.
const lastPort = 65535

// Rule is a rule of a security group in canonical form: two that let the same pass are equal. Make one with NewRule.
type Rule struct {
	Direction string
	EtherType string
	// Protocol is a name where there is one, a number otherwise, and empty for all.
	Protocol string
	// First and Last are ports; for ICMP, type and code. NoPort for all.
	First, Last int
	// CIDR is the network at the other end; empty for all of the family.
	CIDR string
	// RemoteGroup is the id of the group at the other end, or Self; AddressGroup that of an address group, which only others' rules have.
	RemoteGroup  string
	AddressGroup string
}

// Draft is a rule as somebody has written it. Empty fields are what they are in a Rule; EtherType is then that of the CIDR, or IPv4.
type Draft struct {
	Direction, EtherType, Protocol string
	// Ports is "22" or "5671-5672", for protocols that have ports.
	Ports string
	// ICMPType and ICMPCode are for ICMP; NoPort for all.
	ICMPType, ICMPCode int
	CIDR, RemoteGroup  string
}

// NewRule checks a draft and brings it into canonical form. What is wrong is a [*FieldError] of direction, ethertype, protocol, ports,
// icmp_type, icmp_code, cidr or remote_group.
func NewRule(d Draft) (Rule, error) {
	r := Rule{Direction: d.Direction, EtherType: d.EtherType, First: NoPort, Last: NoPort, RemoteGroup: d.RemoteGroup}
	if r.Direction == "" {
		r.Direction = Ingress
	}
	fields := []struct {
		name string
		set  func() error
	}{
		{"direction", func() error { return oneOf(r.Direction, Ingress, Egress) }},
		{"cidr", func() (err error) { r.CIDR, r.EtherType, err = canonicalCIDR(d.CIDR, r.EtherType); return err }},
		{"ethertype", func() error { return oneOf(r.EtherType, IPv4, IPv6) }},
		{"remote_group", func() error {
			if d.CIDR != "" && d.RemoteGroup != "" {
				return errors.New("the other end is a network or a group: write another rule for the group")
			}
			return nil
		}},
		{"protocol", func() (err error) { r.Protocol, err = canonicalProtocol(d.Protocol, r.EtherType); return err }},
		{"ports", func() (err error) { r.First, r.Last, err = canonicalPorts(d.Ports, r.Protocol); return err }},
		{"icmp_type", func() error { return r.setICMP(&r.First, d.ICMPType, "type") }},
		{"icmp_code", func() error {
			if d.ICMPCode != NoPort && d.ICMPType == NoPort {
				return errors.New("a code without a type says nothing")
			}
			return r.setICMP(&r.Last, d.ICMPCode, "code")
		}},
	}
	for _, field := range fields {
		if err := field.set(); err != nil {
			return Rule{}, in(field.name, err)
		}
	}
	return r, nil
}

func oneOf(text string, texts ...string) error {
	for _, t := range texts {
		if text == t {
			return nil
		}
	}
	return fmt.Errorf("%q is none of %s", text, strings.Join(texts, ", "))
}

// setICMP sets a type or a code, if there is one.
func (r *Rule) setICMP(field *int, value int, what string) error {
	switch {
	case value == NoPort:
		return nil
	case !isICMP(r.Protocol):
		return fmt.Errorf("only icmp and ipv6-icmp have a %s", what)
	case value < 0 || value > 255:
		return fmt.Errorf("%d is no %s: those are from 0 to 255", value, what)
	}
	*field = value
	return nil
}

// canonicalCIDR has no bits beyond the prefix, always has the prefix' length, and is empty for everything. An address is a network of one.
func canonicalCIDR(text, family string) (cidr, etherType string, err error) {
	if text == "" {
		if family == "" {
			family = IPv4
		}
		return "", family, nil
	}
	network, err := ParseNetwork(text)
	if err != nil {
		return "", "", err
	}
	etherType = IPv4
	if network.Addr().Is6() {
		etherType = IPv6
	}
	if family != "" && family != etherType {
		return "", "", fmt.Errorf("%s is a network of %s, and the rule is about %s", text, etherType, family)
	}
	if network.Bits() == 0 {
		return "", etherType, nil
	}
	return network.String(), etherType, nil
}

// ParseNetwork reads 192.0.2.0/24, or 192.0.2.7 for that address alone. Bits beyond the prefix are dropped.
func ParseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" && !address.Is4In6() {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil || network.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is no network: write it as 192.0.2.0/24 or 2001:db8::/32", text)
	}
	return network.Masked(), nil
}

// protocols are the names that Neutron knows.
var protocols = map[string]int{
	"icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "egp": 8, "udp": 17, "dccp": 33, "ipv6-encap": 41, "ipv6-route": 43, "ipv6-frag": 44,
	"rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "ospf": 89, "vrrp": 112, "pgm": 113,
	"sctp": 132, "udplite": 136,
}

const (
	icmp   = "icmp"
	icmpv6 = "ipv6-icmp"
)

func isICMP(protocol string) bool { return protocol == icmp || protocol == icmpv6 }

// canonicalProtocol is the name of a name or a number; empty for all.
func canonicalProtocol(text, family string) (string, error) {
	name := strings.ToLower(text)
	switch name {
	case "", "any":
		return "", nil
	case "icmpv6":
		name = icmpv6
	}
	if number, err := strconv.Atoi(name); err == nil {
		if number < 1 || number > 255 {
			return "", fmt.Errorf("%d is no protocol: those are from 1 to 255, and any", number)
		}
		name = strconv.Itoa(number)
		for known, its := range protocols {
			if its == number {
				name = known
			}
		}
	} else if _, known := protocols[name]; !known {
		return "", fmt.Errorf("%q is no protocol: write tcp, udp, icmp, ipv6-icmp, any, or a number", text)
	}
	if name == icmp && family == IPv6 {
		return icmpv6, nil
	}
	if strings.HasPrefix(name, "ipv6-") && family == IPv4 {
		return "", fmt.Errorf("%s belongs to IPv6, and the rule is about IPv4", name)
	}
	return name, nil
}

// canonicalPorts reads "22" or "5671-5672". All ports are none.
func canonicalPorts(text, protocol string) (first, last int, err error) {
	if text == "" {
		return NoPort, NoPort, nil
	}
	if err := oneOf(protocol, "tcp", "udp", "dccp", "sctp", "udplite"); err != nil {
		return 0, 0, fmt.Errorf("only tcp, udp, dccp, sctp and udplite have ports, not %s", named(protocol))
	}
	low, high, isRange := strings.Cut(text, "-")
	if !isRange {
		high = low
	}
	first, err1 := strconv.Atoi(low)
	last, err2 := strconv.Atoi(high)
	if err1 != nil || err2 != nil || first < 1 || last > lastPort {
		return 0, 0, fmt.Errorf("%q are no ports: write 22 or 5671-5672, each from 1 to %d", text, lastPort)
	}
	if first > last {
		return 0, 0, fmt.Errorf("%q begins after its end: write %d-%d", text, last, first)
	}
	if first == 1 && last == lastPort {
		return NoPort, NoPort, nil
	}
	return first, last, nil
}

func named(protocol string) string {
	if protocol == "" {
		return "any"
	}
	return protocol
}

// Ports is how a draft says them; empty for ICMP and for all.
func (r Rule) Ports() string {
	switch {
	case r.First == NoPort || isICMP(r.Protocol):
		return ""
	case r.First == r.Last:
		return strconv.Itoa(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// ICMP is type and code, NoPort where the rule is about all or about something else.
func (r Rule) ICMP() (kind, code int) {
	if isICMP(r.Protocol) {
		return r.First, r.Last
	}
	return NoPort, NoPort
}

// String is how messages show it: "ingress tcp 22 from 192.0.2.0/24".
func (r Rule) String() string {
	words := []string{r.Direction, named(r.Protocol)}
	if ports := r.Ports(); ports != "" {
		words = append(words, ports)
	}
	if kind, code := r.ICMP(); kind != NoPort {
		words = append(words, "type "+strconv.Itoa(kind))
		if code != NoPort {
			words = append(words, "code "+strconv.Itoa(code))
		}
	}
	preposition := "from"
	if r.Direction == Egress {
		preposition = "to"
	}
	other := map[string]string{IPv4: "0.0.0.0/0", IPv6: "::/0"}[r.EtherType]
	switch {
	case r.CIDR != "":
		other = r.CIDR
	case r.RemoteGroup == Self:
		other = "the group itself (" + r.EtherType + ")"
	case r.RemoteGroup != "":
		other = "group " + r.RemoteGroup + " (" + r.EtherType + ")"
	case r.AddressGroup != "":
		other = "address group " + r.AddressGroup + " (" + r.EtherType + ")"
	}
	return strings.Join(append(words, preposition, other), " ")
}

// DefaultEgress are the rules that Neutron gives to a new group: whatever is in it may speak to everybody.
func DefaultEgress() []Rule {
	var rules []Rule
	for _, family := range []string{IPv4, IPv6} {
		rules = append(rules, Rule{Direction: Egress, EtherType: family, First: NoPort, Last: NoPort})
	}
	return rules
}
