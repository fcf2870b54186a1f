package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// way is the way out that the runs of a Runner get.
type way struct {
	kind    string   // WayOutVeth, WayOutSlirp, or empty for backends that need none
	ipv6    bool     // whether this machine forwards IPv6, for WayOutVeth
	reasons []string // why it is no better
}

// obstacle is a reason against WayOutVeth.
type obstacle struct {
	reason string

	// fatal means that it cannot work. Otherwise it works less well than slirp4netns might, which the operator may not mind,
	// or know better.
	fatal bool
}

// ErrWayOut means that the way out that the configuration asks for is none on this machine.
var ErrWayOut = errors.New("the network of runs")

// chooseWay decides which way out runs get. The machine's own routing and firewall are only looked at: whether it forwards
// packets is its operator's business.
func (r *Runner) chooseWay(ctx context.Context) (way, error) {
	properties := r.backend.Properties()
	switch kind := r.network.Kind; {
	case properties.OnMachine:
		return way{}, nil
	case kind == WayOutSlirp:
		return way{kind: WayOutSlirp}, nil
	case kind != "" && kind != WayOutVeth:
		return way{}, fmt.Errorf("%w: there is no way out of the kind %q", ErrWayOut, kind)
	case !properties.Privileged || os.Geteuid() != 0:
		if kind == WayOutVeth {
			return way{}, fmt.Errorf("%w: [network] kind = veth needs a worker that is root, and backend %s is not run by one",
				ErrWayOut, r.backend.Name())
		}
		return way{kind: WayOutSlirp}, nil
	}
	obstacles, ipv6 := vethObstacles(ctx, r.network.ranges())
	return decide(r.network.Kind, obstacles, ipv6)
}

// decide chooses between the two ways out that root has.
func decide(kind string, obstacles []obstacle, ipv6 bool) (way, error) {
	var reasons, fatal []string
	for _, o := range obstacles {
		reasons = append(reasons, o.reason)
		if o.fatal {
			fatal = append(fatal, o.reason)
		}
	}
	switch {
	case kind == WayOutVeth && len(fatal) > 0:
		return way{}, fmt.Errorf("%w: [network] kind = veth: %s", ErrWayOut, strings.Join(fatal, "; "))
	case kind == WayOutVeth || len(reasons) == 0:
		return way{kind: WayOutVeth, ipv6: ipv6, reasons: reasons}, nil
	}
	return way{kind: WayOutSlirp, reasons: reasons}, nil
}

// WayOut says, in words for people, how runs reach the network, and why not better.
func (r *Runner) WayOut() string { return r.way.String() }

func (w way) String() string {
	switch {
	case w.kind == "":
		return "this machine's own"
	case len(w.reasons) == 0:
		return w.kind
	case w.kind == WayOutVeth:
		return w.kind + ", but " + strings.Join(w.reasons, "; ")
	}
	return w.kind + ", because " + strings.Join(w.reasons, "; ")
}

// vethObstacles is what speaks against WayOutVeth on this machine as it is now.
func vethObstacles(ctx context.Context, r ranges) (obstacles []obstacle, ipv6 bool) {
	if !knob("ipv4/ip_forward") {
		obstacles = append(obstacles, obstacle{"this machine does not forward IPv4: run sysctl net.ipv4.ip_forward=1, " +
			"and write the same to a file below /etc/sysctl.d/", true})
	}
	ipv6 = knob("ipv6/conf/all/forwarding")
	if !ipv6 && hasPublic6() {
		obstacles = append(obstacles, obstacle{"this machine has IPv6 and does not forward it, so tests would have none: " +
			"see sysctl net.ipv6.conf.all.forwarding, and net.ipv6.conf.INTERFACE.accept_ra=2 if its routes are advertised", false})
	}
	if err := r.check(ctx); err != nil {
		obstacles = append(obstacles, obstacle{err.Error(), true})
	}
	if err := firewall(ctx); err != nil {
		obstacles = append(obstacles, obstacle{err.Error(), false})
	}
	if err := tryGateway(ctx); err != nil {
		obstacles = append(obstacles, obstacle{err.Error(), true})
	}
	return obstacles, ipv6
}

// knob says whether one of the kernel's settings is on; without IPv6, its settings are not there.
func knob(name string) bool {
	text, err := os.ReadFile("/proc/sys/net/" + name)
	if err != nil {
		return false
	}
	value, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return err == nil && value > 0
}

func hasPublic6() bool {
	addresses, _ := net.InterfaceAddrs() // the filter will say
	public := netip.MustParsePrefix(open6)
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil && public.Contains(prefix.Addr()) {
			return true
		}
	}
	return false
}

// nftList is what `nft --json list chains` tells of the chains that packets pass.
type nftList struct {
	Objects []struct {
		Chain struct {
			Family, Table, Name, Hook, Policy string
		}
	} `json:"nftables"`
}

// firewall fails if this machine's own drops what it is to forward. Rules that let it through would not be seen.
func firewall(ctx context.Context) error {
	path, err := findCommand("nft", "nftables")
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, path, "--json", "list", "chains").Output()
	if err != nil {
		return fmt.Errorf("list this machine's firewall: nft: %w", err)
	}
	return dropsForwarded(out)
}

func dropsForwarded(list []byte) error {
	var found nftList
	if err := json.Unmarshal(list, &found); err != nil {
		return fmt.Errorf("list this machine's firewall: nft: %w", err)
	}
	for _, o := range found.Objects {
		if c := o.Chain; c.Hook == "forward" && c.Policy == "drop" {
			return fmt.Errorf("this machine's firewall drops what it forwards (table %s %s, chain %s): let it accept what comes from "+
				"and goes to the interfaces %s*, and say kind = veth", c.Family, c.Table, c.Name, gatewayPrefix)
		}
	}
	return nil
}

// tryLimit bounds the trial, which takes some 50 ms.
const tryLimit = 20 * time.Second

// tryGateway finds out whether the kernel can do what gateways need, in a network namespace that nobody uses.
func tryGateway(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, tryLimit, errors.New("no answer within "+tryLimit.String()))
	defer cancel()
	unlock, err := lockMachine(ctx)
	if err != nil {
		return err
	}
	unlock()
	err = inNetwork(nil, func() error {
		if err := setForwarding(false); err != nil {
			return err
		}
		gate := filter{nameserver: netip.MustParseAddr(Nameserver)}
		if err := loadRules(ctx, replaceTable+gate.gatewayRules()); err != nil {
			return err
		}
		return configure(ctx, "link add "+gatewayIn+" type veth peer name "+wayOutDevice+"\n")
	})
	if err != nil {
		return fmt.Errorf("the kernel cannot do it: %w", err)
	}
	return nil
}
