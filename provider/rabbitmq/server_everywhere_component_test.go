//go:build component

package rabbitmq

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host/hosttest"
)

// onOwnNetwork marks a process whose network is its own.
const onOwnNetwork = "AUTOPKGTEST_TEST_OWN_NETWORK"

// withOwnNetwork runs a test once more in a process whose network has nothing but loopback, and says whether this is that process: a
// test that listens everywhere is nobody else's business.
func withOwnNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(onOwnNetwork) != "" {
		return true
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), onOwnNetwork+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNET}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Unshareflags: unix.CLONE_NEWNET | unix.CLONE_NEWUSER,
			UidMappings:  []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}},
			GidMappings:  []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}},
			AmbientCaps:  []uintptr{unix.CAP_NET_ADMIN},
		}
	}
	out, err := cmd.CombinedOutput()
	t.Logf("in a process with a network of its own:\n%s", out)
	if err != nil {
		t.Errorf("%v; for a network of its own, root needs CAP_SYS_ADMIN, and others need user namespaces", err)
	}
	return false
}

// TestServerListensEverywhere goes from the stack's own address to all, which that node itself is in the way of, and on to all of
// IPv6, which are those of IPv4, too.
func TestServerListensEverywhere(t *testing.T) {
	if !withOwnNetwork(t) {
		return
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	n := &nodeTest{d: hosttest.NewDirectory(t)}
	for _, listen := range []string{"", "0.0.0.0", "::"} {
		reached := []string{n.d.Address()}
		if listen != "" {
			n.settings.Listen = []string{listen}
			reached = append(reached, "127.0.0.1")
		}
		if listen == "::" {
			reached = append(reached, "::1")
		}
		n.applied(t)
		for _, address := range reached {
			if err := answersAMQP(t.Context(), endpoint{address, host.AMQPPort}.String()); err != nil {
				t.Errorf("listening on %q: %v", listen, err)
			}
		}
	}
}
