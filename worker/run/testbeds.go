package run

import (
	"context"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Confined are testbeds in namespaces, the ones that a worker uses, with a guard that takes them out of service when they
// fail.
type Confined struct{ *testbed.Guard }

var _ Testbeds = Confined{}

// Remove deletes a run's folder, also what belongs to the subordinate accounts of a test, and what the run has made
// elsewhere.
func (Confined) Remove(ctx context.Context, folder string) error { return testbed.Remove(ctx, folder) }
