package testbedtest

import (
	"net/url"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// RunHostile lets the hostile package attack a backend. The test that calls it is one for which OnOtherMachine has returned
// true.
func RunHostile(t *testing.T, s Subject) {
	t.Helper()
	s.state = t.TempDir()
	s.former = s.left()
	backend, err := testbed.Lookup(s.Backend)
	if err != nil {
		t.Fatal(err)
	}
	info, err := testbed.DescribeImage(s.Image)
	if err != nil {
		t.Fatal(err)
	}
	mirror, err := url.Parse(info.Mirror)
	if err != nil {
		t.Fatal(err)
	}
	Hostile(t, Target{
		Runner: func(t *testing.T, options ...testbed.Option) *testbed.Runner {
			t.Helper()
			runner, err := testbed.NewRunner(t.Context(), s.Backend, testLog(t), append(s.options(), options...)...)
			if err != nil {
				t.Fatal(err)
			}
			keepAhead(t, runner)
			return runner
		},
		Job: s.job, Source: SourceTree, Mirror: mirror.Hostname(), SharesMachine: backend.Properties().Privileged && !s.Container,
		Container: s.Container, OwnKernel: s.OwnKernel, Nameservers: s.Nameservers, NoIPv6: s.NoIPv6, WayOut: s.WayOut,
		Patience: s.stretched(patience),
	})
	s.checkNothingLeft(t)
	if err := testbed.Remove(t.Context(), s.state); err != nil {
		t.Error(err)
	}
}
