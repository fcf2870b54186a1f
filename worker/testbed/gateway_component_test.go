//go:build component

package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// routerScript makes a machine that forwards packets: the network namespace of a test. Its neighbour has all addresses that the
// machine itself has not.
const routerScript = `link set lo up
link add eth0 type veth peer name far0 netns /proc/self/fd/3
link add lan0 type bridge
link set eth0 up
link set lan0 up
address add 10.77.0.1/24 dev eth0
address add 198.51.100.77/24 dev eth0
address add 2001:db8:77::1/64 dev eth0 nodad
address add fd77::1/64 dev eth0 nodad
address add 172.20.0.1/24 dev lan0
route add default via 10.77.0.2
route add default via 2001:db8:77::2
`

const farScript = `link set lo up
link set far0 up
address add 10.77.0.2/24 dev far0
address add 198.51.100.2/24 dev far0
address add 2001:db8:77::2/64 dev far0 nodad
address add fd77::2/64 dev far0 nodad
route add 198.19.252.0/23 via 10.77.0.1 table local
route add fd8a:6a3e:1f0c::/119 via 2001:db8:77::1
route add local 0.0.0.0/1 dev lo
route add local 128.0.0.0/2 dev lo
route add local 192.0.0.0/4 dev lo
route add local 2001:db8:88::/64 dev lo
route add local fd88::/64 dev lo
route add local fd00:ec2::254 dev lo
route add local 2002:a58::/32 dev lo
`

// visits are the places that somebody reached: WHOSE ADDRESS.
type visits struct {
	far *os.File // the network of the other machine

	mu   sync.Mutex
	seen []string
}

func (v *visits) note(visit string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !slices.Contains(v.seen, visit) {
		v.seen = append(v.seen, visit)
	}
}

func (v *visits) sorted() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	slices.Sort(v.seen)
	return slices.Clone(v.seen)
}

// baitPort is the same on both machines: there is nobody else on them.
const baitPort = 4242

// bait listens in the network of the calling thread.
func (v *visits) bait(t testing.TB, whose string) {
	t.Helper()
	listener, err := net.Listen("tcp", "[::]:"+strconv.Itoa(baitPort))
	if err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenPacket("udp", "[::]:"+strconv.Itoa(baitPort))
	if err != nil {
		t.Fatal(err)
	}
	var both sync.WaitGroup
	both.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			at := connection.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
			from := connection.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
			v.note(fmt.Sprintf("%s tcp %s", whose, at))
			v.note("from " + from.String())
			connection.Close()
		}
	})
	both.Go(func() {
		for text := make([]byte, 200); ; {
			n, _, err := packets.ReadFrom(text)
			if err != nil {
				return
			}
			v.note(whose + " udp " + strings.TrimSpace(string(text[:n]))) // the visitor says where it was going
		}
	})
	t.Cleanup(func() { listener.Close(); packets.Close(); both.Wait() })
}

// onRouter calls a test in the network of a machine that forwards, beside one that is far away.
func onRouter(t testing.TB, test func(v *visits)) {
	t.Helper()
	v := &visits{}
	err := inNetwork(nil, func() error {
		var far *os.File
		err := inNetwork(nil, func() (err error) {
			far, err = os.Open("/proc/thread-self/ns/net")
			return err
		})
		if err != nil {
			return err
		}
		defer far.Close()
		v.far = far
		if err := configure(t.Context(), routerScript, far); err != nil {
			return err
		}
		for _, setting := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			if err := os.WriteFile("/proc/sys/net/"+setting, []byte("1"), 0); err != nil {
				return err
			}
		}
		if err := inNetwork(far, func() error { v.bait(t, "far"); return configure(t.Context(), farScript) }); err != nil {
			return err
		}
		v.bait(t, "machine")
		test(v)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// visitor goes to all addresses on the port, as root of the run with every right that a container's tools have. It prints
// BAD for what should not be.
const visitor = `
visit() {
    for address in $1; do
        started=$SECONDS
        if timeout ${3:-5} bash -c "exec 3<>/dev/tcp/$address/$2" 2>/dev/null; then echo "connected $address $2"; fi
        test $((SECONDS - started)) -lt 3 || echo "hung $address $2"
        echo "$address" 2>/dev/null >/dev/udp/$address/$2
    done
}
visit "$FORBIDDEN" $PORT
visit "$FORBIDDEN" 53
for address in 10.77.0.9/24 10.88.0.77/24 fd88::77/64 fe80::77/64; do ip address add $address dev out0 nodad 2>/dev/null; done
nft flush ruleset
ip route replace 198.19.252.0/23 via 198.19.255.2
ip route replace 10.88.0.5 via 198.19.255.2 src 10.88.0.77
ip -6 route replace fd88::5 via fd00::2 src fd88::77
ip route replace 203.0.113.77 via 198.19.255.2 src 10.88.0.77
visit 203.0.113.77 $PORT 0.5
visit "$FORBIDDEN" $PORT 0.5 # what comes from another address is not even answered
ip address flush dev out0
ip address add 198.19.255.100/24 dev out0
ip address add fd00::100/64 dev out0 nodad
ip route replace default via 198.19.255.2
ip -6 route replace default via fd00::2
visit "$FORBIDDEN" $PORT 0.5 # some are its neighbours now
visit "$OPEN" $PORT
visit "198.19.255.3" 53
visit "203.0.113.1" 53
echo DONE
`

func routed(t testing.TB, script string) confinement {
	t.Helper()
	gate, err := machineFilter([]opening{opened("10.88.0.9", baitPort), opened("fd88::9", 0), opened("172.20.0.1", baitPort)})
	if err != nil {
		t.Fatal(err)
	}
	if !gate.ipv6 {
		t.Error("the machine has IPv6, the filter has none")
	}
	run := shell(t, script)
	run.inside.Argv[0] = "/bin/bash"
	run.inside.Network = &insideNetwork{IPv6: true, Gateway: true}
	run.gateway = &gatewayPlan{ranges: Network{}.ranges(), rules: gate.gatewayRules(), ipv6: gate.ipv6}
	return run
}

// TestGateway tries what only root of a run can, at addresses of every kind, beside another run.
func TestGateway(t *testing.T) {
	t.Parallel()
	if !mustBeRoot(t) {
		return
	}
	forbidden := []string{
		// This machine's own, those of its gateways, and the gateway's.
		"10.77.0.1", "198.51.100.77", "172.20.0.1", "2001:db8:77::1", "fd77::1", "198.19.252.0", "198.19.252.1", "198.19.252.2",
		"198.19.252.3", "fd8a:6a3e:1f0c::", "fd8a:6a3e:1f0c::1", "fd8a:6a3e:1f0c::2", "fd8a:6a3e:1f0c::3",
		"198.19.255.1", "198.19.255.2", "198.19.255.4", "fd00::2", "fd00::3",
		// What is far away, and not public.
		"10.77.0.2", "fd77::2", "10.88.0.5", "172.21.88.5", "192.168.88.5", "100.64.88.5", "198.18.88.5", "fd88::5", "169.254.169.254",
		"168.63.129.16", "fd00:ec2::254", "2002:a58:5::1",
	}
	open := []string{"203.0.113.1", "2001:db8:88::1", "10.88.0.9", "fd88::9", "172.20.0.1"}
	forbidden = slices.DeleteFunc(forbidden, func(address string) bool { return slices.Contains(open, address) })
	onRouter(t, func(v *visits) {
		neighbour := routed(t, `echo up; while :; do sleep 100001; done`)
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		defer in.Close()
		neighbour.stdout = in
		machine, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		defer machine.Close()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- inNetwork(machine, func() error { _, err := neighbour.run(ctx); return err })
		}()
		defer func() {
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			checkMachineIsClean(t)
		}()
		if err := awaitByte(t.Context(), out, time.Minute); err != nil {
			t.Fatal(err)
		}
		run := routed(t, visitor)
		run.inside.Env = append(run.inside.Env, "FORBIDDEN="+strings.Join(forbidden, " "), "OPEN="+strings.Join(open, " "),
			"PORT="+strconv.Itoa(baitPort))
		var said bytes.Buffer
		run.stdout, run.stderr = &said, &said
		if done, err := run.run(t.Context()); err != nil || done.status.shell() != 0 {
			t.Fatalf("%+v, %v: %s", done.status, err, said.String())
		}
		want := ""
		for _, address := range open {
			want += "connected " + address + " " + strconv.Itoa(baitPort) + "\n"
		}
		if diff := cmp.Diff(want+"connected 198.19.255.3 53\nDONE\n", said.String()); diff != "" {
			t.Errorf("what the run saw (-want +got):\n%s", diff)
		}
		wantVisits := []string{
			"far tcp 10.88.0.9", "far tcp 2001:db8:88::1", "far tcp 203.0.113.1", "far tcp fd88::9", "far udp 10.88.0.9",
			"far udp 2001:db8:88::1", "far udp 203.0.113.1", "far udp fd88::9", "from 10.77.0.1", "from 198.19.252.3",
			"from 2001:db8:77::1", "machine tcp 172.20.0.1", "machine udp 172.20.0.1",
		}
		got := slices.DeleteFunc(v.sorted(), func(visit string) bool { return visit == "from fd77::1" })
		if diff := cmp.Diff(wantVisits, got); diff != "" {
			t.Errorf("visits (-want +got):\n%s", diff)
		}
	})
}

// TestMachineRules has two gateways that let everything through: what keeps runs from each other then is the machine alone.
func TestMachineRules(t *testing.T) {
	t.Parallel()
	if !mustBeRoot(t) {
		return
	}
	onRouter(t, func(v *visits) {
		plan := gatewayPlan{ranges: Network{}.ranges(), ipv6: true}
		var open [2]*os.File
		for i := range open {
			err := inNetwork(nil, func() (err error) {
				open[i], err = os.Open("/proc/thread-self/ns/net")
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			defer open[i].Close()
			number, err := connectToMachine(t.Context(), open[i], plan)
			if err != nil || number != i {
				t.Fatalf("gateway %d has the number %d: %v", i, number, err)
			}
			err = inNetwork(open[i], func() error {
				v.bait(t, "gateway "+strconv.Itoa(i))
				script, _, _ := strings.Cut(gatewayScript(0, i, plan), "link add ") // no way in
				machine, own := pairOf(plan.ranges.ipv6, i)
				return configure(t.Context(), script+"address add "+own.String()+"/127 dev "+gatewayUp+" nodad\n"+
					"route add default via "+machine.String()+" dev "+gatewayUp+"\n")
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, test := range []struct {
			from *os.File
			to   string
			open bool
		}{
			{open[0], "10.88.0.5", true}, {open[1], "2001:db8:88::5", true},
			{open[0], "198.19.252.3", false}, {open[1], "198.19.252.1", false},
			{open[0], "fd8a:6a3e:1f0c::3", false}, {open[1], "fd8a:6a3e:1f0c::1", false},
			{v.far, "198.19.252.1", false}, {v.far, "fd8a:6a3e:1f0c::3", false},
		} {
			limit := time.Second // nobody answers
			if test.open {
				limit = time.Minute
			}
			err := inNetwork(test.from, func() error {
				connection, err := net.DialTimeout("tcp", net.JoinHostPort(test.to, strconv.Itoa(baitPort)), limit)
				if err == nil {
					connection.Close()
				}
				return err
			})
			if (err == nil) != test.open {
				t.Errorf("to %s: error %v", test.to, err)
			}
		}
		for i := range open {
			if err := disconnectFromMachine(t.Context(), i); err != nil {
				t.Error(err)
			}
		}
		checkMachineIsClean(t)
	})
}

// TestCheckFallsBack: what nobody has asked for is given up when it does not work, and what somebody has is not.
func TestCheckFallsBack(t *testing.T) {
	t.Parallel()
	if !mustBeRoot(t) {
		return
	}
	onRouter(t, func(*visits) {
		r := &Runner{
			backend: declared{Properties{Privileged: true}}, names: newNames(), log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			network: Network{Range: netip.MustParsePrefix("10.9.0.0/31")}, way: way{kind: WayOutVeth, ipv6: true},
		}
		if err := r.Check(t.Context()); err != nil || r.WayOut() != WayOutVeth {
			t.Errorf("%s, error %v", r.WayOut(), err)
		}
		// The only address is somebody's.
		if err := configure(t.Context(), "link add autopkgtest-0 type bridge\n"); err != nil {
			t.Fatal(err)
		}
		r.network.Kind = WayOutVeth
		if err := r.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "10.9.0.0/31") {
			t.Errorf("error %v", err)
		}
		r.network.Kind = ""
		if err := r.Check(t.Context()); err != nil || !strings.HasPrefix(r.WayOut(), "slirp, because make the gateway") {
			t.Errorf("%s, error %v", r.WayOut(), err)
		}
	})
}

// checkMachineIsClean looks for what gateways may have left in the network of the calling thread.
func checkMachineIsClean(t *testing.T) {
	t.Helper()
	if numbers, err := gatewayNumbers(); err != nil || len(numbers) > 0 {
		t.Errorf("interfaces are left: %d, %v", numbers, err)
	}
	if tables := listTables(t); strings.Contains(tables, machineTable) {
		t.Errorf("rules are left: %s", tables)
	}
}

func listTables(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("nft", "list", "tables").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// orphanVariable makes this test's program one that has a run with a gateway, and waits to be killed.
const orphanVariable = "AUTOPKGTEST_TEST_ORPHAN"

func orphan() {
	plan := &gatewayPlan{ranges: Network{}.ranges(), rules: filter{nameserver: netip.MustParseAddr(Nameserver)}.gatewayRules()}
	command := confinement{
		inside: insideConfig{Argv: []string{"/bin/sh", "-c", "echo up; while :; do sleep 100001; done"}, Env: environment("/tmp"),
			Dir: "/", Network: &insideNetwork{Gateway: true}},
		privileged: true, gateway: plan, mark: os.Getenv(orphanVariable), stdout: os.Stdout, log: slog.Default(),
	}
	_, err := command.run(context.Background())
	fmt.Println(err)
	os.Exit(1)
}

// TestGatewayOfTheDead kills a program that has a run with a gateway. What is left is found, and nothing of anybody else.
func TestGatewayOfTheDead(t *testing.T) {
	t.Parallel()
	if !mustBeRoot(t) {
		return
	}
	folder := t.TempDir()
	onRouter(t, func(*visits) {
		strangers := "add table inet autopkgtest-cloud-not\nadd table ip autopkgtest-cloud\n"
		if err := loadRules(t.Context(), strangers); err != nil {
			t.Fatal(err)
		}
		if err := configure(t.Context(), "link add autopkgtest-br0 type bridge\nlink add autopkgtest- type bridge\n"); err != nil {
			t.Fatal(err)
		}
		program := exec.Command("/proc/self/exe")
		program.Env = append(os.Environ(), orphanVariable+"="+filepath.Join(folder, "run"))
		program.Stderr = t.Output()
		said, err := program.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := program.Start(); err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 3)
		if _, err := io.ReadFull(said, first); err != nil || string(first) != "up\n" {
			_ = program.Process.Kill()
			t.Fatalf("%q, %v", first, err)
		}
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		// Somebody lives: his rules stay.
		if err := removeGatewayLeftovers(t.Context(), log); err != nil || !strings.Contains(listTables(t), "table inet autopkgtest-cloud\n") {
			t.Errorf("the rules of the living are gone: %v", err)
		}
		if err := program.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = program.Wait() // killed
		for until := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			numbers, err := gatewayNumbers()
			if err == nil && len(numbers) == 0 {
				break
			}
			if time.Now().After(until) {
				t.Fatalf("the interfaces of a killed program stay: %d, %v", numbers, err)
			}
		}
		if err := RemoveLeftovers(t.Context(), folder, log); err != nil {
			t.Error(err)
		}
		checkTables := listTables(t)
		if checkTables != "table inet autopkgtest-cloud-not\ntable ip autopkgtest-cloud\n" {
			t.Errorf("tables %q", checkTables)
		}
		if _, err := net.InterfaceByName("autopkgtest-br0"); err != nil {
			t.Error(err)
		}
		if err := RemoveLeftovers(t.Context(), folder, log); err != nil {
			t.Errorf("a second time: %v", err)
		}
	})
}
