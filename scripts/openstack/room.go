package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// agentCommand and roomCommand are the two sides of a room: a network namespace in which an agent is root, may make bridges as it
// likes, and can reach the broker and nothing else.
//
// A listening socket belongs to the namespace in which it was made, wherever its descriptor goes. So the inner side makes one at the
// broker's address, which is on the room's own loopback, and hands it out; the outer side takes connections from it and passes them on to
// the broker, which is on the machine's.
func agentCommand() *cobra.Command {
	var broker, bridge string
	c := &cobra.Command{
		Use:    "agent --broker HOST:PORT --bridge NAME -- COMMAND...",
		Short:  "Run a command in a network namespace from which it reaches the broker",
		Hidden: true,
		Args:   cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, arguments []string) error {
			return runInRoom(c.Context(), broker, bridge, arguments)
		},
	}
	c.Flags().SetInterspersed(false)
	c.Flags().StringVar(&broker, "broker", "", "where the broker listens")
	c.Flags().StringVar(&bridge, "bridge", "", "the bridge that the namespace has")
	return c
}

// agentGrace is how long the agent may take to end once it was told to.
const agentGrace = 5 * time.Second

func runInRoom(ctx context.Context, broker, bridge string, arguments []string) error {
	// The death of this very thread would end the room: see Pdeathsig.
	runtime.LockOSThread()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	outer, inner := os.NewFile(uintptr(pair[0]), "room"), os.NewFile(uintptr(pair[1]), "room")
	defer outer.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	room := exec.CommandContext(ctx, self, append([]string{"room", "--broker", broker, "--bridge", bridge, "--"}, arguments...)...)
	room.Stdout, room.Stderr = os.Stdout, os.Stderr
	room.ExtraFiles = []*os.File{inner} // descriptor 3
	room.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	room.Cancel = func() error { return room.Process.Signal(syscall.SIGTERM) }
	room.WaitDelay = agentGrace
	if err := room.Start(); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	if err := errors.Join(inner.Close(), relay(ctx, outer, broker)); err != nil {
		return errors.Join(err, room.Process.Kill(), room.Wait())
	}
	return room.Wait()
}

// relay begins to pass on what arrives at the socket that comes out of the room.
func relay(ctx context.Context, outer *os.File, broker string) error {
	rights := make([]byte, unix.CmsgSpace(4))
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
	if err != nil || len(descriptors) != 1 {
		return fmt.Errorf("take the socket of the network namespace: %d descriptors, %w", len(descriptors), err)
	}
	file := os.NewFile(uintptr(descriptors[0]), "listener")
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
			go pass(ctx, from, broker)
		}
	}()
	return nil
}

// pass is one connection. The agent notices that it has ended, and comes again.
func pass(ctx context.Context, from net.Conn, broker string) {
	defer from.Close()
	to, err := new(net.Dialer).DialContext(ctx, "tcp", broker)
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

func roomCommand() *cobra.Command {
	var broker, bridge string
	c := &cobra.Command{
		Use:    "room --broker HOST:PORT --bridge NAME -- COMMAND...",
		Short:  "The inner side of agent",
		Hidden: true,
		Args:   cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, arguments []string) error {
			if err := furnishRoom(c.Context(), broker, bridge); err != nil {
				return err
			}
			return os.NewSyscallError("exec", syscall.Exec(arguments[0], arguments, os.Environ()))
		},
	}
	c.Flags().SetInterspersed(false)
	c.Flags().StringVar(&broker, "broker", "", "where the command believes that the broker listens")
	c.Flags().StringVar(&bridge, "bridge", "", "the bridge to make")
	return c
}

// furnishRoom makes what the agent wants to find, and hands the socket out.
func furnishRoom(ctx context.Context, broker, bridge string) error {
	// The one that is there shows the machine's interfaces, and the agent looks for its bridges in it.
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return os.NewSyscallError("mount sysfs", err)
	}
	for _, arguments := range [][]string{
		{"link", "set", "lo", "up"}, {"link", "add", bridge, "type", "bridge"}, {"link", "set", bridge, "up"},
	} {
		if out, err := exec.CommandContext(ctx, "ip", arguments...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %v: %w: %s", arguments, err, out)
		}
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", broker)
	if err != nil {
		return err
	}
	tcp, ok := listener.(*net.TCPListener)
	if !ok {
		return fmt.Errorf("listen on %s: %T", broker, listener)
	}
	file, err := tcp.File()
	if err != nil {
		return err
	}
	const outer = 3
	defer runtime.KeepAlive(file)
	return errors.Join(
		os.NewSyscallError("sendmsg", unix.Sendmsg(outer, []byte{0}, unix.UnixRights(int(file.Fd())), nil, 0)),
		os.NewSyscallError("close", unix.Close(outer)))
}
