package testbed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// gateway is a run's way out by the kernel. It is a network namespace between that of the run and that of this machine:
//
//	the run's            the gateway                         this machine's
//	out0 ──────────── in0: the filter, a nameserver, up0 ──── autopkgtest-N: forwards, masks
//
// Nothing holds the namespace but a descriptor of this process. When that dies, however it does, the kernel removes the
// namespace and with it both pairs, and nobody's packets are forwarded any more.
type gateway struct {
	number     int // of its interface on this machine
	namespace  *os.File
	nameserver *relay
}

// gatewayPlan is what there is to know to make one.
type gatewayPlan struct {
	ranges ranges
	rules  string // see filter.gatewayRules
	ipv6   bool
}

// gatewayLimit bounds the making of a gateway, some 50 ms of work, and its removal.
const gatewayLimit = 30 * time.Second

// startGateway puts an interface called out0 into the network namespace of a process. The filter is in force before that
// leads anywhere.
func startGateway(ctx context.Context, pid int, plan gatewayPlan, log *slog.Logger) (_ *gateway, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, gatewayLimit, errors.New("not done within "+gatewayLimit.String()))
	defer cancel()
	g := &gateway{number: -1}
	defer func() {
		if err != nil {
			g.stop(log)
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			err = fmt.Errorf("make the gateway of a run: %w", err)
		}
	}()
	err = inNetwork(nil, func() (err error) {
		if g.namespace, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		if err := setForwarding(plan.ipv6); err != nil {
			return err
		}
		return loadRules(ctx, plan.rules)
	})
	if err != nil {
		return nil, err
	}
	if g.number, err = connectToMachine(ctx, g.namespace, plan); err != nil {
		return nil, err
	}
	err = inNetwork(g.namespace, func() (err error) {
		if err := configure(ctx, gatewayScript(pid, g.number, plan)); err != nil {
			return err
		}
		g.nameserver, err = startRelay(netip.AddrPortFrom(netip.MustParseAddr(Nameserver), dnsPort), log)
		return err
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// gatewayScript is what ip does in the gateway.
func gatewayScript(pid, number int, plan gatewayPlan) string {
	machine, own := pairOf(plan.ranges.ipv4, number)
	script := "link set lo up\n" +
		"address add " + own.String() + "/31 dev " + gatewayUp + "\n" +
		"link set " + gatewayUp + " up\n" +
		"route add default via " + machine.String() + " dev " + gatewayUp + "\n" +
		"link add " + gatewayIn + " type veth peer name " + wayOutDevice + " netns " + strconv.Itoa(pid) + "\n" +
		"address add " + runGateway + "/24 dev " + gatewayIn + "\n" +
		"address add " + Nameserver + "/24 dev " + gatewayIn + "\n"
	if plan.ipv6 {
		machine, own = pairOf(plan.ranges.ipv6, number)
		script += "address add " + own.String() + "/127 dev " + gatewayUp + " nodad\n" +
			"route add default via " + machine.String() + " dev " + gatewayUp + "\n" +
			"address add " + runGateway6 + "/64 dev " + gatewayIn + " nodad\n"
	}
	return script + "link set " + gatewayIn + " up\n"
}

// setting is one of the kernel's for a network namespace, below /proc/sys/net.
type setting struct{ name, value string }

// What a gateway sets. A new network namespace has some settings of this machine's.
var (
	forward4 = []setting{
		{"ipv4/ip_forward", "1"}, {"ipv4/conf/all/accept_source_route", "0"}, {"ipv4/conf/all/rp_filter", "0"},
		{"ipv4/conf/all/proxy_arp", "0"}, {"ipv4/conf/all/send_redirects", "0"}, {"ipv4/conf/default/send_redirects", "0"},
	}
	forward6 = []setting{{"ipv6/conf/all/forwarding", "1"}}
	refuse6  = []setting{{"ipv6/conf/all/disable_ipv6", "1"}, {"ipv6/conf/default/disable_ipv6", "1"}}
)

// setForwarding makes a router of the network namespace of the calling thread.
func setForwarding(ipv6 bool) error {
	if err := set(forward4); err != nil {
		return err
	}
	if ipv6 {
		return set(forward6)
	}
	if err := set(refuse6); !errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6 refuses it by itself
		return err
	}
	return nil
}

func set(settings []setting) error {
	for _, s := range settings {
		if err := os.WriteFile("/proc/sys/net/"+s.name, []byte(s.value), 0); err != nil {
			return fmt.Errorf("make a router of a network namespace: %w", err)
		}
	}
	return nil
}

// inNetwork calls a function in a network namespace, a new one for nil. The function has a thread of its own, which ends with
// it: what it opens, listens on and starts belongs to the namespace.
func inNetwork(namespace *os.File, do func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked, but for the next case
		if unix.Gettid() == unix.Getpid() {
			// The first thread cannot end, and its namespace is what others take for this process's. As long as it is
			// held here, the next try gets another one.
			result <- inNetwork(namespace, do)
			runtime.UnlockOSThread()
			return
		}
		err := errors.New("ended in the middle") // by a test that failed
		defer func() { result <- err }()
		if entered := enterNetwork(namespace); entered != nil {
			err = entered
			return
		}
		err = do()
	}()
	return <-result
}

func enterNetwork(namespace *os.File) (err error) {
	if namespace == nil {
		err = unix.Unshare(unix.CLONE_NEWNET)
	} else {
		err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET)
	}
	if err != nil {
		return fmt.Errorf("enter a network namespace: %w", err)
	}
	return nil
}

// gone is nil: the kernel does not end.
func (g *gateway) gone() <-chan struct{} { return nil }

func (g *gateway) lost() string { return "" }

func (g *gateway) stop(log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), gatewayLimit)
	defer cancel()
	if g.nameserver != nil {
		g.nameserver.stop()
	}
	if g.number >= 0 {
		if err := disconnectFromMachine(ctx, g.number); err != nil {
			log.Error("a run has left an interface on this machine, which goes when the worker ends", "interface",
				gatewayDevice(g.number), "error", err)
		}
	}
	if g.namespace != nil {
		g.namespace.Close()
	}
}
