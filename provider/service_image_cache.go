package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// An image cache is a folder that outlives the stack: an image is put there when it is known to be good, and offered to
// the job of the next stack as a candidate, which takes it only if it still is what it would build. The cache belongs to
// whoever runs Terraform, the images to the stack's account; so one side of each copy is a descriptor that we open, and
// the other a program that runs as the account.

// offerCached puts a cached image where the job looks for a candidate, if there is no image yet.
func offerCached(ctx context.Context, d *host.Directory, cache, image string) error {
	if _, err := os.Stat(image); cache == "" || err == nil {
		return nil
	}
	candidate := strings.TrimSuffix(image, testbed.ImageSuffix) + ".candidate" + testbed.ImageSuffix
	cached := filepath.Join(cache, filepath.Base(image))
	// The description comes last: a candidate without one is refused and dropped.
	for _, pair := range [][2]string{{cached, candidate}, {testbed.InfoPath(cached), testbed.InfoPath(candidate)}} {
		err := copyIn(ctx, d, pair[0], pair[1])
		if errors.Is(err, fs.ErrNotExist) {
			tflog.Info(ctx, "no image in the cache", map[string]any{"path": pair[0]})
			return nil
		}
		if err != nil {
			return fmt.Errorf("take the image from the cache: %w", err)
		}
	}
	return nil
}

func copyIn(ctx context.Context, d *host.Directory, from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	return d.Run(ctx, host.Command{Argv: []string{"dd", "bs=1M", "status=none", "of=" + to}, Stdin: source})
}

// keepInCache puts the image into the cache, unless that has it already.
func keepInCache(ctx context.Context, d *host.Directory, cache, image string) error {
	info, good := goodImage(image)
	if cache == "" || !good {
		return nil
	}
	cached := filepath.Join(cache, filepath.Base(image))
	if old, err := testbed.ReadImageInfo(cached); err == nil && old.SHA256 == info.SHA256 {
		return nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return fmt.Errorf("keep the image in the cache: %w", err)
	}
	// A description that does not fit its image would be refused, so an interruption in between is harmless.
	for _, pair := range [][2]string{{image, cached}, {testbed.InfoPath(image), testbed.InfoPath(cached)}} {
		if err := copyOut(ctx, d, pair[0], pair[1]); err != nil {
			return fmt.Errorf("keep the image in the cache: %w", err)
		}
	}
	return nil
}

// goodImage says whether there is an image that has passed its canary.
func goodImage(image string) (testbed.ImageInfo, bool) {
	info, err := imageState(image)
	return info, err == nil
}

func copyOut(ctx context.Context, d *host.Directory, from, to string) (err error) {
	target, err := os.CreateTemp(filepath.Dir(to), ".copy-*")
	if err != nil {
		return err
	}
	defer os.Remove(target.Name())
	err = d.Run(ctx, host.Command{Argv: []string{"cat", "--", from}, Stdout: target})
	if closed := target.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(target.Name(), to)
}
