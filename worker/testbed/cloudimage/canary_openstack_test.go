//go:build openstack

package cloudimage

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/nova"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

// TestMain makes the test's program what the worker's is: the set-up script of servers, and the first process of runs.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == nova.Verb {
		os.Exit(nova.Main(os.Args[2:], nil))
	}
	testbedtest.Main(m)
}

// TestTests: the tests of the canary package run on a server of the very candidate. On a simulated hypervisor nobody answers there, so the
// test ends the job, as an operator does; then no server is left, and the candidate waits for the next turn.
func TestTests(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.newDisk()
	l.cfg.Cloud.Nova.RCFiles = l.cfg.Cloud.Nova.RCFiles[:1]
	l.cfg.Cloud.Nova.KeyFile = openstacktest.PrivateKey(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	candidate := make(chan string, 1)
	l.prove = func(ctx context.Context, tr trial) error {
		candidate <- tr.image
		return runTests(ctx, tr)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := l.once(ctx)
		ended <- err
	}()
	var id string
	select {
	case id = <-candidate:
	case err := <-ended:
		t.Fatalf("it ends before its canary: %v", err)
	}
	ofCandidate := func() (count int) {
		all, err := l.region().ServersTagged(context.WithoutCancel(t.Context()), "autopkgtest-cloud", "autopkgtest-testbed")
		if err != nil {
			t.Fatal(err)
		}
		for _, server := range all {
			if server.Image["id"] == id && server.TaskState != "deleting" && server.Status != openstack.StatusDeleted {
				count++
			}
		}
		return count
	}
	for begin := time.Now(); ofCandidate() != 1; time.Sleep(200 * time.Millisecond) {
		if len(ended) > 0 || time.Since(begin) > 2*time.Minute {
			t.Fatalf("no server of the candidate after %s; %v", time.Since(begin), <-ended)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if status, err := ReadStatus(l.path); err != nil || status.Phase != testbed.PhaseStopped || l.found() != "" {
		t.Errorf("%+v, %v", status, err)
	}
	for begin := time.Now(); ofCandidate() != 0; time.Sleep(200 * time.Millisecond) { // it was deleted, and may be listed still
		if time.Since(begin) > time.Minute {
			t.Fatal("a server is left")
		}
	}
	if again, err := l.region().NewestImage(t.Context(), id); err != nil || !again.Hidden {
		t.Errorf("the candidate: %+v, %v", again, err)
	}
	if _, err := os.Stat(l.work); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what the turn has made: %v", err)
	}
}
