package machinetest

import (
	"net/netip"
	"testing"
)

// TestCableTo: machines that run side by side, which a test starts, have cables of their own.
func TestCableTo(t *testing.T) {
	t.Parallel()
	const longest = 15
	seen := map[string]netip.Addr{}
	for first := range 256 {
		for second := 2; second < 256; second += 4 {
			address := netip.AddrFrom4([4]byte{198, 18, byte(first), byte(second)})
			name := cableTo(address)
			if other, taken := seen[name]; taken {
				t.Fatalf("%s and %s both have %s", address, other, name)
			}
			if len(name) > longest {
				t.Fatalf("%s: %s has more than %d letters", address, name, longest)
			}
			seen[name] = address
		}
	}
}
