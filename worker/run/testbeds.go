package run

import (
	"context"
	"os"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Confined are testbeds in namespaces, the ones that a worker uses.
type Confined struct {
	*testbed.Runner
	Images string // folder of RELEASE-ARCH.tar.zst
}

var _ Testbeds = Confined{}

// Ready wants an image: a request without one would only hold a slot.
func (c Confined) Ready(q request.Queue) error {
	_, err := testbed.DescribeImage(testbed.ImagePath(c.Images, q))
	return err
}

// Canary takes every testbed for sound: only what fails as a testbed is tried again.
func (Confined) Canary(context.Context, request.Queue) error { return nil }

// Remove deletes a run's folder, also what belongs to the subordinate accounts of a test.
func (Confined) Remove(ctx context.Context, folder string) error {
	// A run that ended in order has handed everything over to our account, and the short way is enough. A tree that a
	// stranger has made too deep for it, and what a dead worker left, take the long one.
	if err := os.RemoveAll(folder); err == nil {
		return nil
	}
	return testbed.Remove(ctx, folder)
}
