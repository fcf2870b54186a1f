package run

import (
	"context"
	"os"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Confined are testbeds in namespaces, the ones that a worker uses.
type Confined struct{ *testbed.Runner }

var _ Testbeds = Confined{}

// Remove deletes a run's folder, also what belongs to the subordinate accounts of a test.
func (Confined) Remove(ctx context.Context, folder string) error {
	// A run that ended in order has handed everything over to our account, and the short way is enough. A tree that a
	// stranger has made too deep for it, and what a dead worker left, take the long one.
	if err := os.RemoveAll(folder); err == nil {
		return nil
	}
	return testbed.Remove(ctx, folder)
}
