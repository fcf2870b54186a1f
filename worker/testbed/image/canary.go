package image

import (
	"context"
	"log/slog"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// runCanary runs the canary in a testbed of an image, exactly as the worker runs a package.
func runCanary(ctx context.Context, queue request.Queue, image, folder string, log *slog.Logger) error {
	runner, err := testbed.NewRunner(ctx, backendName, log)
	if err != nil {
		return err
	}
	_, err = runner.Prove(ctx, testbed.Proof{Queue: queue, Image: image, WorkDir: folder, Grace: grace})
	return err
}
