package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// A listening socket belongs to the namespace in which it was made, wherever its descriptor goes. So the inner side of a room makes
// one at each address, on the room's own loopback, and hands them out; the outer side takes connections from them and passes them on to
// the same address of the machine.

// insideSocket is the descriptor by which the inner side hands out.
const insideSocket = 3

// handOut is the inner side's part.
func (r *room) handOut(ctx context.Context) error {
	var descriptors []int
	for _, forward := range r.forwards {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", forward)
		if err != nil {
			return err
		}
		tcp, ok := listener.(*net.TCPListener)
		if !ok {
			return fmt.Errorf("listen on %s: %T", forward, listener)
		}
		file, err := tcp.File()
		if err != nil {
			return err
		}
		defer runtime.KeepAlive(file)
		descriptors = append(descriptors, int(file.Fd()))
	}
	return errors.Join(
		os.NewSyscallError("sendmsg", unix.Sendmsg(insideSocket, []byte{0}, unix.UnixRights(descriptors...), nil, 0)),
		os.NewSyscallError("close", unix.Close(insideSocket)))
}

// relay is the outer side's. It waits until the room is furnished and begins to pass on.
func (r *room) relay(ctx context.Context, outer *os.File) error {
	rights := make([]byte, unix.CmsgSpace(4*len(r.forwards)))
	_, length, _, _, err := unix.Recvmsg(int(outer.Fd()), make([]byte, 1), rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("recvmsg", err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:length])
	if err != nil {
		return os.NewSyscallError("recvmsg", err)
	}
	if len(messages) != 1 {
		return errors.New("the network namespace could not be furnished")
	}
	descriptors, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return os.NewSyscallError("recvmsg", err)
	}
	if len(descriptors) != len(r.forwards) {
		return fmt.Errorf("the network namespace has %d sockets for %d addresses", len(descriptors), len(r.forwards))
	}
	for i, forward := range r.forwards {
		file := os.NewFile(uintptr(descriptors[i]), "listener")
		listener, err := net.FileListener(file)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
		go func() {
			for {
				from, err := listener.Accept()
				if err != nil {
					return
				}
				go pass(ctx, from, forward)
			}
		}()
	}
	return nil
}

// pass is one connection. Whoever made it notices that it has ended, and comes again.
func pass(ctx context.Context, from net.Conn, address string) {
	defer from.Close()
	to, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, "openstack: pass on a connection:", err)
		return
	}
	defer to.Close()
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{to, from}, {from, to}} {
		go func() {
			_, _ = io.Copy(way[0], way[1]) // a connection that breaks is one that ends
			ended <- struct{}{}
		}()
	}
	<-ended
}
