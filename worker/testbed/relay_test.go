package testbed

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// resolver answers each question with itself and its own name, by UDP and TCP.
func resolver(t *testing.T, name string) netip.AddrPort {
	t.Helper()
	packets, listener := listenBoth(t)
	go func() {
		for buffer := make([]byte, 1000); ; {
			n, from, err := packets.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			_, _ = packets.WriteToUDPAddrPort([]byte("xx of another question"), from)
			_, _ = packets.WriteToUDPAddrPort(append(slices.Clone(buffer[:n]), name...), from)
		}
	}()
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			question, _ := io.ReadAll(connection)
			fmt.Fprintf(connection, "%s%s", question, name)
			connection.Close()
		}
	}()
	return packets.LocalAddr().(*net.UDPAddr).AddrPort()
}

// listenBoth listens on the same port by UDP and TCP.
func listenBoth(t *testing.T) (*net.UDPConn, net.Listener) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(listener.Addr().(*net.TCPAddr).AddrPort()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close(); packets.Close() })
	return packets, listener
}

// deaf is a port at which nobody listens.
func deaf(t *testing.T) netip.AddrPort {
	t.Helper()
	packets, listener := listenBoth(t)
	at := packets.LocalAddr().(*net.UDPAddr).AddrPort()
	packets.Close()
	listener.Close()
	return at
}

func TestRelay(t *testing.T) {
	t.Parallel()
	resolvers := []netip.AddrPort{deaf(t), resolver(t, " of the second"), resolver(t, " of the third")}
	packets, listener := listenBoth(t)
	r := serveRelay(packets, listener, func() []netip.AddrPort { return resolvers }, slog.New(slog.DiscardHandler))
	defer r.stop()
	for _, network := range []string{"udp", "tcp"} {
		for i := range 3 {
			connection, err := net.Dial(network, listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			question := fmt.Sprintf("question %s %d", network, i)
			if _, err := io.WriteString(connection, question); err != nil {
				t.Fatal(err)
			}
			if half, ok := connection.(*net.TCPConn); ok {
				if err := half.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			_ = connection.SetDeadline(time.Now().Add(time.Minute))
			answer := make([]byte, 1000)
			n, err := connection.Read(answer)
			if got := string(answer[:n]); err != nil || got != question+" of the second" {
				t.Errorf("%q, %v", got, err)
			}
		}
	}
}

// TestRelayStops although somebody asks who has no answer, and somebody is connected who says nothing.
func TestRelayStops(t *testing.T) {
	t.Parallel()
	silent, silentListener := listenBoth(t)
	resolvers := []netip.AddrPort{silent.LocalAddr().(*net.UDPAddr).AddrPort()}
	packets, listener := listenBoth(t)
	r := serveRelay(packets, listener, func() []netip.AddrPort { return resolvers }, slog.New(slog.DiscardHandler))
	question, err := net.Dial("udp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer question.Close()
	if _, err := io.WriteString(question, "question"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := silent.ReadFromUDPAddrPort(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	connection, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if _, err := silentListener.Accept(); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	r.stop()
	if took := time.Since(started); took > relayPatience/2 {
		t.Errorf("it took %s to stop", took)
	}
}

func TestParseResolvers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                         "[127.0.0.1:53]",
		"# nameserver 10.0.0.1\n":  "[127.0.0.1:53]",
		"nameserver 127.0.0.53\n":  "[127.0.0.53:53]",
		"nameserver\nnameserver x": "[127.0.0.1:53]",
		"search a\nnameserver\t10.0.0.1 # it\nnameserver fe80::1%eth0\nnameserver ::1\nnameserver 10.0.0.4": "[10.0.0.1:53 [fe80::1%eth0]:53 [::1]:53]",
	} {
		if got := fmt.Sprint(parseResolvers(text)); got != want {
			t.Errorf("%s: %s, want %s", strings.ReplaceAll(text, "\n", "; "), got, want)
		}
	}
}
