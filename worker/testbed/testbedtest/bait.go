package testbedtest

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// bait listens on every address of the machine, by TCP and UDP, and notes at which addresses somebody came.
type bait struct {
	port int

	mu      sync.Mutex
	visited []string
}

func newBait(t *testing.T) *bait {
	t.Helper()
	listener, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &bait{port: listener.Addr().(*net.TCPAddr).Port}
	packets, err := net.ListenPacket("udp", "[::]:"+strconv.Itoa(b.port))
	if err != nil {
		t.Fatal(err)
	}
	var both sync.WaitGroup
	both.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			if at, err := netip.ParseAddrPort(connection.LocalAddr().String()); err == nil {
				b.note("tcp " + at.Addr().Unmap().String())
			}
			connection.Close()
		}
	})
	both.Go(func() {
		for text := make([]byte, 200); ; {
			n, _, err := packets.ReadFrom(text)
			if err != nil {
				return
			}
			b.note("udp " + string(text[:n])) // the visitor says where it was going
		}
	})
	t.Cleanup(func() { listener.Close(); packets.Close(); both.Wait() })
	return b
}

func (b *bait) note(visit string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(b.visited, visit) {
		b.visited = append(b.visited, visit)
	}
}

// visits are the addresses at which somebody came, each one once.
func (b *bait) visits() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	slices.Sort(b.visited)
	return slices.Clone(b.visited)
}
