package host

import (
	"fmt"
	"net/netip"
	"slices"
)

// CheckListen refuses addresses that one server could not listen on together: each is an IP address and there once, and the one
// that stands for all of them (0.0.0.0 or ::) is alone.
func CheckListen(addresses []string) error {
	wrong := func(address, cause, wayOut string) error {
		return &Problem{Kind: ErrInvalid, Thing: fmt.Sprintf("the address %q", address), Cause: cause, WayOut: wayOut}
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
