//go:build component

package rabbitmq

import (
	"os/exec"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host/hosttest"
)

// TestServerListensEverywhere goes from the stack's own address to all, which that node itself is in the way of, and on to all of
// IPv6, which are those of IPv4, too.
func TestServerListensEverywhere(t *testing.T) {
	t.Parallel()
	if !hosttest.Alone(t, hosttest.Network) {
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
