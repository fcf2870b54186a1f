package testbed

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

const dnsPort = 53

// What a run may ask at the same time, and how long it waits for an answer: somewhat less than what clients bear.
const (
	relayQuestions   = 128
	relayConnections = 32
	relayPatience    = 4 * time.Second
	relayLife        = time.Minute // of a connection
)

// relay is the nameserver of a run with a gateway. It passes questions on to this machine's resolver, wherever that listens,
// as this process: the run's packets get no further than to it.
type relay struct {
	packets   *net.UDPConn
	listener  net.Listener
	resolvers func() []netip.AddrPort
	log       *slog.Logger

	ctx     context.Context // ends when the relay is to stop
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// startRelay listens in the network namespace of the calling thread.
func startRelay(at netip.AddrPort, log *slog.Logger) (*relay, error) {
	packets, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, fmt.Errorf("listen for questions: %w", err)
	}
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		packets.Close()
		return nil, fmt.Errorf("listen for questions: %w", err)
	}
	return serveRelay(packets, listener, machineResolvers, log), nil
}

func serveRelay(packets *net.UDPConn, listener net.Listener, resolvers func() []netip.AddrPort, log *slog.Logger) *relay {
	r := &relay{packets: packets, listener: listener, resolvers: resolvers, log: log}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.running.Go(r.servePackets)
	r.running.Go(r.serveConnections)
	return r
}

// stop returns when nothing of the relay runs any more.
func (r *relay) stop() {
	r.cancel()
	r.packets.Close()
	r.listener.Close()
	r.running.Wait()
}

// pause keeps an error that does not go away from taking a whole processor.
func (r *relay) pause() {
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.ctx.Done():
	}
}

// largestPacket is that of UDP.
const largestPacket = 1<<16 - 1

// servePackets passes on one question a packet. Those that are too many are dropped, as a network does.
func (r *relay) servePackets() {
	places := make(chan struct{}, relayQuestions)
	for buffer := make([]byte, largestPacket); ; {
		n, from, err := r.packets.ReadFromUDPAddrPort(buffer)
		if r.ctx.Err() != nil {
			return
		}
		if err != nil {
			r.pause() // whatever it is, it may not last
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			continue
		}
		question := bytes.Clone(buffer[:n])
		r.running.Go(func() {
			defer func() { <-places }()
			if answer := r.ask(question); answer != nil {
				_, _ = r.packets.WriteToUDPAddrPort(answer, from) // who does not get it asks again
			}
		})
	}
}

// ask asks one resolver after the other, until one of them answers.
func (r *relay) ask(question []byte) (answer []byte) {
	var failed error
	for _, resolver := range r.resolvers() {
		answer, err := r.askOne(resolver, question)
		if err == nil {
			return answer
		}
		if r.ctx.Err() != nil {
			return nil
		}
		failed = errors.Join(failed, err)
	}
	r.log.Debug("a run's question to the nameserver has no answer", "error", failed)
	return nil
}

func (r *relay) askOne(resolver netip.AddrPort, question []byte) ([]byte, error) {
	connection, err := r.dial("udp", resolver, relayPatience)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	if _, err := connection.Write(question); err != nil {
		return nil, err
	}
	for buffer := make([]byte, largestPacket); ; {
		n, err := connection.Read(buffer)
		if err != nil {
			return nil, err
		}
		// Both begin with the question's number.
		if n >= 2 && len(question) >= 2 && bytes.Equal(buffer[:2], question[:2]) {
			return bytes.Clone(buffer[:n]), nil
		}
	}
}

// serveConnections passes on whole connections: large answers, transfers of zones.
func (r *relay) serveConnections() {
	places := make(chan struct{}, relayConnections)
	for {
		connection, err := r.listener.Accept()
		if r.ctx.Err() != nil {
			if err == nil {
				connection.Close()
			}
			return
		}
		if err != nil {
			r.pause() // descriptors have run out, say
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			connection.Close()
			continue
		}
		r.running.Go(func() {
			defer func() { <-places }()
			defer connection.Close()
			r.join(connection)
		})
	}
}

// join connects somebody with the first resolver that lets itself be connected to.
func (r *relay) join(connection net.Conn) {
	for _, resolver := range r.resolvers() {
		other, err := r.dial("tcp", resolver, relayLife)
		if err != nil {
			continue
		}
		defer other.Close()
		_ = connection.SetDeadline(time.Now().Add(relayLife))
		defer context.AfterFunc(r.ctx, func() { _ = connection.SetDeadline(time.Unix(1, 0)) })()
		var both sync.WaitGroup
		both.Go(func() { pour(other, connection) })
		pour(connection, other)
		both.Wait()
		return
	}
}

// pour copies until there is no more, and passes that on as well.
func pour(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite() // an error means that it is closed
		return
	}
	_ = to.Close()
}

// dial connects to a resolver, from this machine's network. The connection ends after a while, and with the relay.
func (r *relay) dial(network string, to netip.AddrPort, life time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(r.ctx, relayPatience)
	defer cancel()
	connection, err := new(net.Dialer).DialContext(ctx, network, to.String())
	if err != nil {
		return nil, err
	}
	_ = connection.SetDeadline(time.Now().Add(life))
	bounded := &relayed{Conn: connection}
	bounded.forget = context.AfterFunc(r.ctx, func() { _ = connection.SetDeadline(time.Unix(1, 0)) })
	return bounded, nil
}

// relayed is a connection that a relay's end ends.
type relayed struct {
	net.Conn
	forget func() bool
}

func (r *relayed) Close() error {
	r.forget()
	return r.Conn.Close()
}

// CloseWrite says that nothing more will be asked.
func (r *relayed) CloseWrite() error {
	if half, ok := r.Conn.(*net.TCPConn); ok {
		return half.CloseWrite()
	}
	return nil
}

// resolverFile names this machine's resolvers.
const resolverFile = "/etc/resolv.conf"

// machineResolvers are those of this machine as it is now.
func machineResolvers() []netip.AddrPort {
	text, _ := os.ReadFile(resolverFile) // without it, what the C library takes
	return parseResolvers(string(text))
}

// mostResolvers is what the C library asks.
const mostResolvers = 3

func parseResolvers(text string) []netip.AddrPort {
	var found []netip.AddrPort
	for scanner := bufio.NewScanner(strings.NewReader(text)); scanner.Scan() && len(found) < mostResolvers; {
		fields := strings.Fields(scanner.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if ip, err := netip.ParseAddr(fields[1]); err == nil {
			found = append(found, netip.AddrPortFrom(ip, dnsPort))
		}
	}
	if len(found) == 0 {
		found = append(found, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort))
	}
	return found
}
