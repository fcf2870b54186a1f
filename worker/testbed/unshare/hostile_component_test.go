//go:build component

package unshare_test

import (
	"log/slog"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

// TestHostile lets a package try to reach all that tests are kept away from, on a machine with addresses of every kind.
func TestHostile(t *testing.T) {
	if !testbedtest.OnOtherMachine(t) {
		return
	}
	testbedtest.Hostile(t, testbedtest.Target{
		Runner: func(t *testing.T, options ...testbed.Option) *testbed.Runner {
			t.Helper()
			runner, err := testbed.NewRunner(t.Context(), "unshare", slog.New(slog.NewTextHandler(t.Output(), nil)), options...)
			if err != nil {
				t.Fatal(err)
			}
			return runner
		},
		Job: newJob, Source: sourceTree, Mirror: mirrorName(t),
	})
}
