package testbed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What gateways have on this machine: an interface each, and one table of rules as long as there is any. An interface is there
// exactly as long as its run's worker lives, so whoever finds none may remove the table, whosever it was.
const (
	machineTable  = "autopkgtest-cloud"
	gatewayPrefix = "autopkgtest-"

	// mostGateways is what the length of an interface's name leaves.
	mostGateways = 1000
)

func gatewayDevice(number int) string { return gatewayPrefix + strconv.Itoa(number) }

// replaceTable makes the table what it should be, whatever is there, and lets no packet pass in between.
const (
	removeTable  = "add table inet " + machineTable + "\ndelete table inet " + machineTable + "\n"
	replaceTable = removeTable + machineRules
)

// connectToMachine makes the pair between this machine and a gateway under the first number that is free.
func connectToMachine(ctx context.Context, namespace *os.File, plan gatewayPlan) (number int, err error) {
	unlock, err := lockMachine(ctx)
	if err != nil {
		return -1, err
	}
	defer unlock()
	taken, err := gatewayNumbers()
	if err != nil {
		return -1, err
	}
	for slices.Contains(taken, number) {
		number++
	}
	if number >= plan.ranges.pairs() {
		return -1, fmt.Errorf("all addresses of %s are in use: choose a larger [network] range", plan.ranges)
	}
	// Before the interface, which must not lead anywhere without the rules.
	if err := loadRules(ctx, replaceTable); err != nil {
		return -1, err
	}
	if err := configure(ctx, machineScript(number, plan), namespace); err != nil {
		return -1, errors.Join(err, removePair(context.WithoutCancel(ctx), number))
	}
	return number, nil
}

// machineScript is what ip does on this machine. The namespace of the gateway is its descriptor 3. The interface has no
// address of its own making: nobody is to find one.
func machineScript(number int, plan gatewayPlan) string {
	device := gatewayDevice(number)
	machine, _ := pairOf(plan.ranges.ipv4, number)
	script := "link add " + device + " type veth peer name " + gatewayUp + " netns /proc/self/fd/3\n" +
		"link set " + device + " addrgenmode none\n" +
		"address add " + machine.String() + "/31 dev " + device + "\n"
	if plan.ipv6 {
		machine, _ = pairOf(plan.ranges.ipv6, number)
		script += "address add " + machine.String() + "/127 dev " + device + " nodad\n"
	}
	return script + "link set " + device + " up\n"
}

// disconnectFromMachine removes the pair, and the table after the last one.
func disconnectFromMachine(ctx context.Context, number int) error {
	unlock, err := lockMachine(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return removePair(ctx, number)
}

// removePair is disconnectFromMachine for who has the lock. A pair that is not there is no error.
func removePair(ctx context.Context, number int) error {
	taken, err := gatewayNumbers()
	if err != nil {
		return err
	}
	if slices.Contains(taken, number) {
		if err := configure(ctx, "link delete "+gatewayDevice(number)+"\n"); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(taken, func(n int) bool { return n != number }) {
		return nil
	}
	return loadRules(ctx, removeTable)
}

// gatewayNumbers lists the interfaces that gateways have on this machine.
func gatewayNumbers() ([]int, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces of this machine: %w", err)
	}
	var numbers []int
	for _, i := range all {
		text, found := strings.CutPrefix(i.Name, gatewayPrefix)
		if number, err := strconv.Atoi(text); found && err == nil && gatewayDevice(number) == i.Name {
			numbers = append(numbers, number)
		}
	}
	return numbers, nil
}

// removeGatewayLeftovers removes the table of workers that were killed, unless another one uses it. Their interfaces have gone
// with them.
func removeGatewayLeftovers(ctx context.Context, log *slog.Logger) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if _, err := findCommand("nft", "nftables"); err != nil {
		return nil // nobody has made a table
	}
	ctx, cancel := context.WithTimeoutCause(ctx, gatewayLimit, errors.New("not done within "+gatewayLimit.String()))
	defer cancel()
	unlock, err := lockMachine(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if command(ctx, "nft", "nftables", "", nil, "list", "table", "inet", machineTable) != nil {
		return nil // there is none, or there is no nftables
	}
	taken, err := gatewayNumbers()
	if err != nil || len(taken) > 0 {
		return err
	}
	log.Warn("removing the rules that a dead worker's runs have left", "table", machineTable)
	return loadRules(ctx, removeTable)
}

// machineLock is held while somebody changes what gateways have on this machine.
const machineLock = "/run/autopkgtest-cloud-network.lock"

// lockMachine takes the lock, which others hold for some 50 ms.
func lockMachine(ctx context.Context) (unlock func(), err error) {
	file, err := os.OpenFile(machineLock, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("take turns with other workers: %w", err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			file.Close()
			return nil, fmt.Errorf("take turns with other workers: %s: %w", machineLock, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("another worker holds %s: %w", machineLock, context.Cause(ctx))
		}
	}
}
