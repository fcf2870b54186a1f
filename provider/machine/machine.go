package machine

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

const (
	// keepalive is how often a machine is asked whether it is there, and silence how long it may owe an answer.
	keepalive = 15 * time.Second
	silence   = 30 * time.Second
)

// Machine is a connection to a machine. Its methods may be called from several goroutines.
type Machine struct {
	target   Target
	client   *ssh.Client
	programs string        // the folder for programs, where it is not the usual one
	gone     chan struct{} // closed when the connection has ended
	owned    sync.WaitGroup

	mu    sync.Mutex
	files *sftp.Client
	facts *Facts
}

func newMachine(t Target, client *ssh.Client, programs string) *Machine {
	m := &Machine{target: t, client: client, programs: programs, gone: make(chan struct{})}
	m.owned.Go(func() { _ = client.Wait(); close(m.gone) })
	m.owned.Go(m.keepAlive)
	return m
}

// Target is what the machine was reached with.
func (m *Machine) Target() Target { return m.target }

func (m *Machine) ended() bool {
	select {
	case <-m.gone:
		return true
	default:
		return false
	}
}

func (m *Machine) close() {
	_ = m.client.Close()
	m.owned.Wait()
}

// keepAlive closes the connection to a machine that does not answer any more: nobody would notice otherwise.
func (m *Machine) keepAlive() {
	tick := time.NewTicker(keepalive)
	defer tick.Stop()
	for {
		select {
		case <-m.gone:
			return
		case <-tick.C:
		}
		late := time.AfterFunc(silence, func() { _ = m.client.Close() })
		_, _, err := m.client.SendRequest("keepalive@openssh.com", true, nil)
		late.Stop()
		if err != nil {
			_ = m.client.Close()
			return
		}
	}
}

// DialContext connects to an address as the machine sees it, for example one of its own loopback.
func (m *Machine) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	connection, err := m.client.DialContext(ctx, network, address)
	if err != nil {
		if m.ended() {
			return nil, m.target.lost(err)
		}
		return nil, m.target.problem(ErrRemote, "makes no connection to "+address, err,
			"See whether something listens there, and whether its sshd allows it (AllowTcpForwarding)")
	}
	return noDeadline{connection}, nil
}

// noDeadline bears the calls of clients that set deadlines: a channel of ssh knows none. Their contexts still end it.
type noDeadline struct{ net.Conn }

func (noDeadline) SetDeadline(time.Time) error      { return nil }
func (noDeadline) SetReadDeadline(time.Time) error  { return nil }
func (noDeadline) SetWriteDeadline(time.Time) error { return nil }
