package rabbitmq

import (
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// ClusterPort is where the members of a cluster talk with each other; RabbitMQ's own default.
const ClusterPort = 25672

// Cluster makes a node one of several that share users and queues. All members are told the same list, so that none of them is
// special: any may be lost, with its disk, and comes back as long as another one is there.
//
// Everything that concerns another member goes through Erlang's distribution, from the member's own machine; nobody has to
// reach that from where Apply is called.
type Cluster struct {
	// Address is the member's own, an IPv4 address of its machine. The member is called after it.
	Address string
	// Port is the same on all members. Zero means ClusterPort.
	Port int
	// Members are the addresses of all members, this one among them. The first founds the cluster.
	Members []string
	// CookieFile is the path of the secret that all members share. A file that is not there is made, unless there is a Read.
	CookieFile string
	// Read reads a CookieFile that need not be one of this machine. Nil reads this machine's.
	Read func(name string) ([]byte, fs.FileMode, error)
	// Found lets the first member found the cluster where no other one answers. It must not be set for a member that was
	// there before: it would begin anew, empty, beside members that are only down.
	Found bool
}

// ClusterField names what of Cluster an error is about.
type ClusterField string

// Fields of Cluster.
const (
	ClusterAddress ClusterField = "address"
	ClusterMembers ClusterField = "members"
	ClusterCookie  ClusterField = "cookie_file"
	ClusterPortNo  ClusterField = "port"
)

// ClusterError is an error about one field of Cluster.
type ClusterError struct {
	Field ClusterField
	Err   error
}

// Error implements error.
func (e *ClusterError) Error() string { return e.Err.Error() }

// Unwrap implements errors.Unwrap.
func (e *ClusterError) Unwrap() error { return e.Err }

// NodeName is the name of the member with an address.
func NodeName(address string) string { return "rabbit@" + address }

func (c Cluster) filled() Cluster {
	if c.Port == 0 {
		c.Port = ClusterPort
	}
	return c
}

// others are the addresses of the other members.
func (c Cluster) others() []string {
	return slices.DeleteFunc(slices.Clone(c.Members), func(address string) bool { return address == c.Address })
}

// Check refuses members that could not find each other, and a distribution that strangers could listen to: Erlang's is not
// encrypted, and who knows the cookie commands the machine's account.
func (c Cluster) Check() error {
	wrong := func(field ClusterField, thing, cause, wayOut string) error {
		return &ClusterError{field, &host.Problem{Kind: host.ErrInvalid, Thing: thing, Cause: cause, WayOut: wayOut}}
	}
	var seen []string
	for _, text := range c.Members {
		thing := fmt.Sprintf("the member %q", text)
		address, err := netip.ParseAddr(text)
		switch {
		case err != nil || !address.Is4() || address.String() != text || address.IsUnspecified() || address.IsMulticast():
			return wrong(ClusterMembers, thing, "is not the address of a machine",
				"Write the IPv4 address at which the other members reach it; no name and no port")
		case slices.Contains(seen, text):
			return wrong(ClusterMembers, thing, "is there twice", "Name it once; each member has an address of its own")
		case public(address):
			return wrong(ClusterMembers, thing, "is a public address, and what members say to each other is not encrypted",
				"Use addresses of a private network, or of a tunnel (WireGuard) between the machines")
		}
		seen = append(seen, text)
	}
	if !slices.Contains(c.Members, c.Address) {
		return wrong(ClusterAddress, fmt.Sprintf("the address %q", c.Address), "is not among the members "+strings.Join(c.Members, ", "),
			"All members are told the same list, with themselves in it")
	}
	if c.Port < 0 || c.Port > 65535 {
		return wrong(ClusterPortNo, fmt.Sprintf("the port %d", c.Port), "does not exist", "Use 1 to 65535")
	}
	return nil
}

// unrouted are networks that are nobody's in the internet, besides the private ones (RFC 6598, RFC 2544).
var unrouted = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"), // behind the address translation of carriers
	netip.MustParsePrefix("198.18.0.0/15"), // trials between machines
}

// public says whether an address is one of the whole internet.
func public(address netip.Addr) bool {
	return address.IsGlobalUnicast() && !address.IsPrivate() &&
		!slices.ContainsFunc(unrouted, func(network netip.Prefix) bool { return network.Contains(address) })
}

// Hosts are the addresses at which clients reach the members, this one first; nil without a cluster.
func (s Settings) Hosts() []string {
	if s.Cluster == nil {
		return nil
	}
	own := s.Cluster.Address
	if len(s.Listen) > 0 {
		own = s.Listen[0]
	}
	return append([]string{own}, s.Cluster.others()...)
}

// administrator is the user that a node has from the start. guest is never made. Each member of a cluster has one of its own, so
// that no two of them have to agree on a password.
func (s Settings) administrator() string {
	if s.Cluster == nil {
		return "admin"
	}
	return "admin-" + s.Cluster.Address
}
