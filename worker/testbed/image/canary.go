package image

import (
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// canaryTree is the source package whose test an image must pass before it is used: it installs a package from the
// archive, after autopkgtest has fetched the archive's index.
//
//go:embed canary
var canaryTree embed.FS

const (
	canaryName  = "autopkgtest-canary"
	canaryLimit = 10 * time.Minute

	// canaryTrigger names a source that the archive has: with a proposed pocket, autopkgtest looks for it there.
	canaryTrigger = "hello/2.10-1"
)

// runCanary runs the canary in a testbed of an image, exactly as the worker runs a package.
func runCanary(ctx context.Context, queue request.Queue, image, folder string, log *slog.Logger) error {
	source := filepath.Join(folder, canaryName)
	files, err := fs.Sub(canaryTree, "canary")
	if err != nil {
		return err
	}
	if err := os.CopyFS(source, files); err != nil {
		return fmt.Errorf("write the canary package: %w", err)
	}
	runner, err := testbed.NewRunner(ctx, backendName, log)
	if err != nil {
		return err
	}
	output := filepath.Join(folder, "out")
	started := time.Now()
	outcome, err := runner.Run(ctx, testbed.Job{
		Request: request.Request{Package: canaryName, Triggers: []string{canaryTrigger}}, Queue: queue,
		Image: image, Source: source, OutputDir: output, WorkDir: folder, Timeout: canaryLimit, Grace: grace,
	})
	if err != nil {
		return fmt.Errorf("run the canary package: %w", err)
	}
	if outcome.ExitCode != 0 || outcome.TimedOut {
		return fmt.Errorf("the canary package does not pass in the new testbed: autopkgtest ended with %d after %s: %s",
			outcome.ExitCode, time.Since(started).Round(time.Second), logEnd(filepath.Join(output, "log")))
	}
	log.Info("the canary package passes", "took", time.Since(started).Round(time.Millisecond))
	return nil
}

// logEnd returns the last lines of a log, for a message.
func logEnd(path string) string {
	const most = 1500
	file, err := os.Open(path)
	if err != nil {
		return "there is no log"
	}
	defer file.Close()
	if size, err := file.Seek(0, io.SeekEnd); err == nil {
		_, _ = file.Seek(max(size-most, 0), io.SeekStart) // from the beginning if that fails
	}
	text, _ := io.ReadAll(io.LimitReader(file, most))
	return string(text)
}
