package host

import (
	"net"
	"os"
	"testing"
)

// TestListenersOf: who wants all addresses of a port is in the way of each of them.
func TestListenersOf(t *testing.T) {
	t.Parallel()
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	port := first.Addr().(*net.TCPAddr).Port
	second, err := net.Listen("tcp", (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 9), Port: port}).String())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	for address, want := range map[string]int{"127.0.0.1": 1, "127.0.0.9": 1, "127.0.0.10": 0, "0.0.0.0": 2, "::": 2, "nonsense": 0} {
		found := listenersOf(address, port)
		if len(found) != want {
			t.Errorf("%s: %v, want %d", address, found, want)
		}
		for _, s := range found {
			if s.pid != os.Getpid() {
				t.Errorf("%s: %v, want this process", address, s)
			}
		}
	}
}

func TestCheckAddress(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{"127.0.0.1": true, "127.9.9.9": true, "0.0.0.0": true, "192.0.2.77": false, "x": false} {
		if err := CheckAddress(address); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}
