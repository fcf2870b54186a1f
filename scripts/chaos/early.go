package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// earlyLink is a link to the broker that makes of a worker one that acknowledges a request when it gets it, as the worker
// that this one replaces did: it acknowledges each delivery on its way, and swallows what the worker itself says of it
// later. It is for the test of the checker, which must find the requests that such a worker loses.
type earlyLink struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu    sync.Mutex
	pairs map[net.Conn]net.Conn
}

func newEarlyLink(ctx context.Context, broker config.Broker) (link, config.Broker, error) {
	listener, port, err := loopback(ctx)
	if err != nil {
		return nil, broker, err
	}
	l := &earlyLink{listener: listener, target: broker.Address(), pairs: map[net.Conn]net.Conn{}}
	l.running.Go(func() { l.accept(context.WithoutCancel(ctx)) }) // until it is closed
	broker.Host, broker.Port = "127.0.0.1", port
	return l, broker, nil
}

// Freeze and Thaw are of no use here.
func (l *earlyLink) Freeze() {}

// Thaw does nothing.
func (l *earlyLink) Thaw() {}

// Cut ends all connections.
func (l *earlyLink) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for client, server := range l.pairs {
		_ = client.Close()
		_ = server.Close()
	}
}

// Close ends the link.
func (l *earlyLink) Close() {
	_ = l.listener.Close()
	l.Cut()
	l.running.Wait()
}

func (l *earlyLink) accept(ctx context.Context) {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		server, err := new(net.Dialer).DialContext(ctx, "tcp", l.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		l.mu.Lock()
		l.pairs[client] = server
		l.mu.Unlock()
		l.running.Go(func() { l.carry(client, server) })
	}
}

// carry passes frames on until either side has no more.
func (l *earlyLink) carry(client, server net.Conn) {
	toServer := &frameWriter{to: server}
	var both sync.WaitGroup
	both.Go(func() {
		defer func() { _ = client.Close(); _ = server.Close() }()
		_ = workerSays(client, toServer)
	})
	both.Go(func() {
		defer func() { _ = client.Close(); _ = server.Close() }()
		_ = brokerSays(server, client, toServer)
	})
	both.Wait()
	l.mu.Lock()
	delete(l.pairs, client)
	l.mu.Unlock()
}

// frameWriter keeps the frames of two writers whole.
type frameWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (w *frameWriter) Write(frame []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(frame)
}

// Of AMQP 0-9-1: a frame is type, channel, size, payload, end; the payload of a method begins with its class and number.
const (
	frameHead   = 1 + 2 + 4
	frameMethod = 1
	frameEnd    = 0xCE
	greeting    = len("AMQP\x00\x00\x09\x01")

	basicDeliver = 60<<16 | 60
	basicGetOK   = 60<<16 | 71
	basicAck     = 60<<16 | 80
	basicReject  = 60<<16 | 90
	basicNack    = 60<<16 | 120
)

// readFrame reads a whole frame, and says which method it holds; 0 for none.
func readFrame(from *bufio.Reader) (frame []byte, method uint32, err error) {
	head, err := from.Peek(frameHead)
	if err != nil {
		return nil, 0, err
	}
	frame = make([]byte, frameHead+int(binary.BigEndian.Uint32(head[3:]))+1)
	if _, err := io.ReadFull(from, frame); err != nil {
		return nil, 0, err
	}
	if frame[len(frame)-1] != frameEnd {
		return nil, 0, fmt.Errorf("a frame of AMQP ends with %#x", frame[len(frame)-1])
	}
	if frame[0] == frameMethod && len(frame) >= frameHead+4 {
		method = binary.BigEndian.Uint32(frame[frameHead:])
	}
	return frame, method, nil
}

// workerSays passes on what the worker says, but for what becomes of deliveries.
func workerSays(client io.Reader, server io.Writer) error {
	in := bufio.NewReader(client)
	hello := make([]byte, greeting)
	if _, err := io.ReadFull(in, hello); err != nil {
		return err
	}
	if _, err := server.Write(hello); err != nil {
		return err
	}
	for {
		frame, method, err := readFrame(in)
		if err != nil {
			return err
		}
		if method == basicAck || method == basicReject || method == basicNack {
			continue
		}
		if _, err := server.Write(frame); err != nil {
			return err
		}
	}
}

// brokerSays passes on what the broker says, and acknowledges each delivery at once.
func brokerSays(server io.Reader, client, back io.Writer) error {
	for in := bufio.NewReader(server); ; {
		frame, method, err := readFrame(in)
		if err != nil {
			return err
		}
		if tag := deliveryTag(frame, method); tag != nil {
			if _, err := back.Write(acknowledgement(frame[1:3], tag)); err != nil {
				return err
			}
		}
		if _, err := client.Write(frame); err != nil {
			return err
		}
	}
}

// deliveryTag is the number of a delivery; nil for another frame.
func deliveryTag(frame []byte, method uint32) []byte {
	arguments := frame[frameHead : len(frame)-1]
	switch {
	case method == basicGetOK && len(arguments) >= 4+8:
		return arguments[4 : 4+8]
	case method == basicDeliver && len(arguments) > 4:
		if begin := 4 + 1 + int(arguments[4]); len(arguments) >= begin+8 { // after the consumer's tag
			return arguments[begin : begin+8]
		}
	}
	return nil
}

func acknowledgement(channel, tag []byte) []byte {
	payload := append(binary.BigEndian.AppendUint32(nil, basicAck), tag...)
	payload = append(payload, 0) // this one alone
	frame := append([]byte{frameMethod}, channel...)
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(payload)))
	return append(append(frame, payload...), frameEnd)
}
