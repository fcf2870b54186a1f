package queuetest

import (
	"crypto/tls"
	"net"
	"sync"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// Proxy stands between a client and the broker and breaks the network on demand.
type Proxy struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu     sync.Mutex
	frozen chan struct{} // nil while bytes flow; closed when they flow again
	pairs  map[net.Conn]net.Conn
}

// Through returns the account with the address of a new proxy in front of its broker.
func Through(t testing.TB, broker config.Broker) (*Proxy, config.Broker) {
	t.Helper()
	p, broker, err := NewProxy(broker)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, broker
}

// Terminate returns the account with the address of somebody in front of the broker who speaks TLS with clients, in the way that
// is given, and plain AMQP with the broker.
func Terminate(t testing.TB, broker config.Broker, how *tls.Config) config.Broker {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", how)
	if err != nil {
		t.Fatal(err)
	}
	p, secure := newProxy(listener, broker)
	t.Cleanup(p.Close)
	secure.TLS = true
	return secure
}

// NewProxy is Through for what is not a test; the caller closes the proxy.
func NewProxy(broker config.Broker) (*Proxy, config.Broker, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, broker, err
	}
	p, broker := newProxy(listener, broker)
	return p, broker, nil
}

func newProxy(listener net.Listener, broker config.Broker) (*Proxy, config.Broker) {
	p := &Proxy{listener: listener, target: broker.Address(), pairs: map[net.Conn]net.Conn{}}
	p.running.Go(p.accept)
	address := listener.Addr().(*net.TCPAddr)
	broker.Host, broker.Port = "127.0.0.1", address.Port
	return p, broker
}

// Close ends all connections, and takes no more.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.Thaw()
	p.Cut()
	p.running.Wait()
}

// Freeze stops all bytes in both directions, as a network that swallows packets does: nobody is told.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen == nil {
		p.frozen = make(chan struct{})
	}
}

// Thaw lets the bytes flow again.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

// Cut closes all connections; new ones are let through.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for client, server := range p.pairs {
		_ = client.Close()
		_ = server.Close()
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.pairs[client] = server
		p.mu.Unlock()
		p.running.Go(func() {
			var both sync.WaitGroup
			both.Go(func() { p.pump(client, server) })
			both.Go(func() { p.pump(server, client) })
			both.Wait()
			p.mu.Lock()
			delete(p.pairs, client)
			p.mu.Unlock()
		})
	}
}

// pump copies until either side closes, and then closes both.
func (p *Proxy) pump(to, from net.Conn) {
	defer func() { _ = to.Close(); _ = from.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		frozen := p.frozen
		p.mu.Unlock()
		if frozen != nil {
			<-frozen
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
