package testbedtest

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Subject is a backend that is tested.
type Subject struct {
	Backend string
	Queue   request.Queue
	Image   string // empty for a backend that needs none

	// Arguments are the operator's, the backend's name first; nil for the backend's own.
	Arguments []string

	// Capabilities are those of the testbeds, if they are not those that the backend declares: with ssh, a set-up script
	// brings them.
	Capabilities []testbed.Capability

	// Container says that root of a testbed administers a network and control groups of its own, below those of the run, and is
	// not root of this machine.
	Container bool

	// OwnKernel says that testbeds are machines of their own, whose processes cannot be seen on this one.
	OwnKernel bool

	// Nameservers are further addresses at which a testbed finds a resolver.
	Nameservers []string

	// NoIPv6 says that testbeds have no IPv6, whatever this machine has.
	NoIPv6 bool

	// Elsewhere says that tests run on another machine, whose memory and disk this one knows nothing of.
	Elsewhere bool

	// Slow multiplies times here, for testbeds that are slower than those that the backend is for; zero and one change nothing.
	Slow int

	// WayOut is the way out of the runs' network, see testbed.Network; empty for the one that a worker would choose.
	WayOut string

	// Exposed allows a backend whose tests are not kept away from this machine.
	Exposed bool

	// Left lists what runs have left on this machine beside processes, mounts and folders: containers, sessions, servers.
	// Nil means that nothing of the kind is ever made.
	Left func() []string

	state  string   // see testbed.WithState
	former []string // what an earlier suite, one that was interrupted, has left
}

func (s Subject) can(c testbed.Capability) bool {
	if s.Capabilities != nil {
		return slices.Contains(s.Capabilities, c)
	}
	b, err := testbed.Lookup(s.Backend)
	return err == nil && b.Properties().Can(c)
}

// stretched is a time on this machine for the backend's testbeds, which may be emulated.
func (s Subject) stretched(limit time.Duration) time.Duration {
	factor := max(s.Slow, 1)
	if b, err := testbed.Lookup(s.Backend); err == nil {
		factor = max(factor, b.Properties().Stretch)
	}
	return limit * time.Duration(factor)
}

func (s Subject) options() []testbed.Option {
	options := []testbed.Option{testbed.WithState(s.state), testbed.WithNetwork(testbed.Network{Kind: s.WayOut})}
	if s.Exposed {
		options = append(options, testbed.AllowExposed())
	}
	if s.Image != "" {
		options = append(options, testbed.WithImages(filepath.Dir(s.Image)))
	}
	return options
}

func (s Subject) runner(t *testing.T) *testbed.Runner {
	t.Helper()
	runner, err := testbed.NewRunner(t.Context(), s.Backend, testLog(t), s.options()...)
	if err != nil {
		t.Fatal(err)
	}
	return runner
}

// ready is a runner that has namespaces ahead, as a worker's has, for as long as the test runs.
func (s Subject) ready(t *testing.T) *testbed.Runner {
	t.Helper()
	runner := s.runner(t)
	keepAhead(t, runner)
	return runner
}

// keepAhead waits until there is one set.
func keepAhead(t *testing.T, runner *testbed.Runner) {
	t.Helper()
	if runner.Backend().Properties().OnMachine {
		return // it needs none
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runner.KeepAhead(ctx, filepath.Join(t.TempDir(), "ahead"), func() int { return 1 })
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	Await(t, "namespaces are ready", func() bool { return runner.Ahead() > 0 })
}

func testLog(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }
