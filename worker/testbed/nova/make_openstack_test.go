//go:build openstack

package nova

import (
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// late is how long the cloud of TestEndedWhileAsking takes for what it was asked by somebody who is gone.
const late = 4 * time.Second

// TestEndedWhileAsking: a set-up script is ended while the cloud makes something for it. The cloud goes on, and the clean-up right after
// removes what comes of it.
func TestEndedWhileAsking(t *testing.T) {
	for name, test := range map[string]struct {
		signal  syscall.Signal
		service string
		path    string
	}{
		"killed, for a server":      {syscall.SIGKILL, "compute", "/servers"},
		"told to end, for a server": {syscall.SIGTERM, "compute", "/servers"},
		"killed, for a floating IP": {syscall.SIGKILL, "network", "/v2.0/floatingips"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, between := newProjectBetween(t, 1)
			sshd := startLocalSSHD(t)
			b := backend{newRegions()}
			given := words(sshd, "m1.tiny", p.rc)
			if test.service == "network" {
				p.Pool("pool-"+p.Name, "203.0.113.0/24")
				given = append(given, "--associate-ip", "--floating-pool", "pool-"+p.Name)
			}
			made := of("w", "run", given)
			f, err := b.Furnish(made)
			if err != nil {
				t.Fatal(err)
			}
			folder := t.TempDir()
			plan := filepath.Join(folder, "plan.json")
			writePlan(t, f, plan)
			script := callScript(plan, "open", sshd)
			script.Stdout, script.Stderr = t.Output(), t.Output()
			asked, gone, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
			between.Lose(func(s openstacktest.Seen) bool {
				if s.Method != http.MethodPost || s.Service != test.service || s.Path != test.path {
					return false
				}
				close(asked)
				if test.signal == syscall.SIGKILL {
					<-gone
				}
				time.Sleep(late)
				close(done)
				return test.signal == syscall.SIGKILL
			})
			if err := script.Start(); err != nil {
				t.Fatal(err)
			}
			<-asked
			if err := script.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			_ = script.Wait()
			close(gone)
			remains := testbed.Remains{Testbed: made, Folders: map[string]string{accountFolder: folder}}
			if err := b.Clean(t.Context(), remains); err != nil {
				t.Error(err)
			}
			<-done
			time.Sleep(late) // for the cloud to carry it out
			p.await(t, 0)
			if test.service == "network" {
				left, err := p.region.FloatingIPs(t.Context())
				if err != nil || len(left) != 0 {
					t.Errorf("floating IPs are left: %v, %v", left, err)
				}
			}
		})
	}
}
