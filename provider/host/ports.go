package host

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
)

// Role is what a port is for. Each stack has a block of 16 ports below the range that the kernel hands out; a role is
// a fixed place in it.
type Role int

// The roles, in the order of their ports.
const (
	RoleAMQPFallback Role = iota // only where 5672 cannot be bound on the stack's own address
	RoleManagement               // RabbitMQ's HTTP interface
	RoleDistribution             // between Erlang nodes, and rabbitmqctl
	RoleEPMD                     // Erlang's port mapper
	RoleSwiftProxy               // the store's public side
	RoleSwiftAccount
	RoleSwiftContainer
	RoleSwiftObject
	RoleMemcached // the store's tokens
	RoleWeb       // the website
	RoleWorkerHealth
	RoleCollectorSpare
)

// AMQPPort is AMQP's standard port. Requesters' tools ignore any other in a broker's address.
const AMQPPort = 5672

// The blocks: 768 of 16 ports, from 20000 to just below 32768, where Linux begins to hand out ports by itself.
const (
	firstPort = 20000
	blockSize = 16
	blocks    = 768
)

func checkBase(base int) error {
	if base < firstPort || base >= firstPort+blocks*blockSize || (base-firstPort)%blockSize != 0 {
		return fmt.Errorf("%d is not the first port of a block", base)
	}
	return nil
}

// chooseBlock begins at a block that the path gives, so that a stack made again in the same place gets the same ports, and
// takes the next one whose ports are all free.
func chooseBlock(path string) (int, error) {
	sum := fnv.New32a()
	sum.Write([]byte(path))
	begin := int(sum.Sum32() % blocks)
	var last error
	for i := range blocks {
		base := firstPort + (begin+i)%blocks*blockSize
		if last = checkBlock(base); last == nil {
			return base, nil
		}
	}
	return 0, &Problem{Kind: ErrPortTaken, Thing: fmt.Sprintf("the ports from %d to %d", firstPort,
		firstPort+blocks*blockSize-1), Cause: "have no free block of 16 left", Err: last,
		WayOut: "Remove stacks that are not needed: make down."}
}

func checkBlock(base int) error {
	for port := base; port < base+blockSize; port++ {
		if err := tryListen("127.0.0.1", port); err != nil {
			return err
		}
	}
	return nil
}

// tryListen binds without listening. That is refused as long as anybody listens there, and does not itself get into
// anybody's way: a child that is being started at this moment has our descriptors until it is another program, and
// would make a listening socket look taken.
func tryListen(address string, port int) error {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return err
	}
	family, to := syscall.AF_INET, syscall.Sockaddr(nil)
	if ip.Is4() {
		to = &syscall.SockaddrInet4{Port: port, Addr: ip.As4()}
	} else {
		family, to = syscall.AF_INET6, &syscall.SockaddrInet6{Port: port, Addr: ip.As16()}
	}
	socket, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	err = os.NewSyscallError("setsockopt", syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
	if err == nil {
		err = os.NewSyscallError("bind", syscall.Bind(socket, to))
	}
	return errors.Join(err, os.NewSyscallError("close", syscall.Close(socket)))
}

// CheckPort tries to listen on address:port. A taken port is ErrPortTaken; the message names the process that holds it
// where /proc lets us know.
func CheckPort(address string, port int) error {
	err := tryListen(address, port)
	if err == nil {
		return nil
	}
	thing := "the port " + net.JoinHostPort(address, strconv.Itoa(port))
	if !errors.Is(err, syscall.EADDRINUSE) {
		return &Problem{Kind: ErrInvalid, Thing: thing, Cause: "cannot be listened on", Err: err,
			WayOut: "Use an address of this machine and a port above 1023."}
	}
	return taken(thing, listenerOf(address, port))
}

func taken(thing string, by socket) error {
	return &Problem{Kind: ErrPortTaken, Thing: thing, Cause: "is taken by " + by.String(),
		WayOut: "End that program if it is not needed, or choose another port."}
}

// CheckAddress refuses an IP address that this machine does not have.
func CheckAddress(address string) error {
	if err := tryListen(address, 0); err != nil {
		return &Problem{Kind: ErrInvalid, Thing: fmt.Sprintf("the address %q", address), Cause: "cannot be listened on", Err: err,
			WayOut: "Use an address of this machine; `ip address` shows them."}
	}
	return nil
}
