package cloudimage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/image"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/nova"
)

const (
	// lookEvery is between looks whether the image is still there. Where a disk comes from is asked as often as the configuration says.
	lookEvery = 10 * time.Minute
	// restFor is how long an image stays when a later one has taken its place: longer than a server takes to become ACTIVE.
	restFor = time.Hour
)

// Keep keeps one image in the image services of all clouds of its configuration until ctx ends, which is no error. One that is
// away does not keep the others from their new image.
func Keep(ctx context.Context, cfg config.Image, log *slog.Logger) error {
	k, err := newKeeper(cfg, log)
	if err != nil {
		return err
	}
	image.Repeat(ctx, k.log, k.once, func() bool { return false })
	return nil
}

// Once does one turn of Keep: it returns when the image is in all image services, or says why it is not.
func Once(ctx context.Context, cfg config.Image, log *slog.Logger) error {
	k, err := newKeeper(cfg, log)
	if err != nil {
		return err
	}
	_, err = k.once(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// keeper keeps one image.
type keeper struct {
	cfg      config.Image
	queue    request.Queue
	source   source
	prove    canary
	rest     time.Duration
	sessions openstack.Sessions
	log      *slog.Logger

	// path is that of the status, work that of a folder for what a turn makes, and disk that of a disk that was built.
	path, work, disk string
	status           Status
	builder          func(context.Context, config.Image, string, *slog.Logger) (string, error)

	sum   string // that the source told last
	asked time.Time
}

func newKeeper(cfg config.Image, log *slog.Logger) (*keeper, error) {
	queue := request.Queue{Release: cfg.Release, Architecture: cfg.Architecture}
	if err := queue.Validate(); err != nil {
		return nil, err
	}
	if cfg.Every == 0 {
		cfg.Every = config.DefaultEvery
	}
	stem := cfg.Release + "-" + cfg.Architecture
	return &keeper{
		cfg: cfg, queue: queue, source: source{*cfg.Cloud, http.DefaultClient}, prove: canaries[cfg.Cloud.Canary], rest: restFor,
		log: log.With("release", cfg.Release, "arch", cfg.Architecture), path: StatusPath(cfg.Directory, cfg.Release, cfg.Architecture),
		work: filepath.Join(cfg.Directory, "."+stem+".cloud.work"), disk: filepath.Join(cfg.Directory, "."+stem+".cloud.disk"),
		builder: image.BuildDisk,
	}, nil
}

// once sees to it that every image service has the image, and returns when there is something to do next.
func (k *keeper) once(ctx context.Context) (next time.Duration, err error) {
	if err := os.MkdirAll(k.cfg.Directory, 0o755); err != nil {
		return 0, fmt.Errorf("make the folder of images: %w", err)
	}
	unlock, err := image.Lock(ctx, k.work+".lock", func() { k.log.Info("waiting for another program that keeps this image") })
	if err != nil {
		return 0, err
	}
	defer unlock()
	k.readStatus()
	next, err = k.turn(ctx)
	switch {
	case err == nil:
		return next, k.enter(testbed.PhaseReady, nil)
	case ctx.Err() == nil:
		return 0, errors.Join(err, k.enter(testbed.PhaseFailed, err))
	case k.status.Complete():
		return 0, k.enter(testbed.PhaseReady, nil)
	}
	return 0, k.enter(testbed.PhaseStopped, errors.New("the job was stopped before the image was ready"))
}

func (k *keeper) readStatus() {
	status, err := ReadStatus(k.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.log.Warn("what is known of the image cannot be read, and is found out anew", "error", err)
		status = Status{}
	}
	k.status = status
	k.status.Release, k.status.Architecture = k.cfg.Release, k.cfg.Architecture
}

// known is what the last turn has left in a place.
func (k *keeper) known(at *place) Image {
	for _, image := range k.status.Images {
		if image.Source == at.source {
			return image
		}
	}
	return Image{Region: at.name(), Source: at.source}
}

func (k *keeper) turn(ctx context.Context) (next time.Duration, err error) {
	if err := testbed.Remove(ctx, k.work); err != nil { // of a job that was killed, with the servers of its canary
		return 0, err
	}
	if err := os.Mkdir(k.work, 0o700); err != nil {
		return 0, fmt.Errorf("make a folder for an image: %w", err)
	}
	defer func() { err = errors.Join(err, testbed.Remove(context.WithoutCancel(ctx), k.work)) }()
	sum, err := k.wanted(ctx)
	if err != nil {
		return 0, err
	}
	next = min(lookEvery, k.cfg.Every)
	var failed error
	var images []Image
	d := &fetched{keeper: k, sum: sum}
	all := k.places()
	for _, at := range all {
		known, due, err := k.renew(ctx, at, all, d)
		if known.Error = ""; err != nil {
			failed = errors.Join(failed, err)
			known.Error = err.Error()
		}
		if due > 0 {
			next = min(next, due)
		}
		images = append(images, known)
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	k.status.Images = images
	if failed == nil {
		failed = removeFile(k.disk)
	}
	return next, failed
}

// fetched is the disk of a turn, brought here when it is first needed.
type fetched struct {
	keeper *keeper
	sum    string
	disk   *openstack.Disk
}

func (f *fetched) get(ctx context.Context) (openstack.Disk, error) {
	if f.disk == nil {
		disk, err := f.keeper.bring(ctx, f.sum)
		if err != nil {
			f.keeper.forget() // it may be another one by now
			return openstack.Disk{}, err
		}
		f.disk = &disk
	}
	return *f.disk, nil
}

// Withdraw removes the image from all image services, with whatever was made for it. The job must not run. A region that cannot be used is
// an error only if the image is known to be there.
func Withdraw(ctx context.Context, cfg config.Image, log *slog.Logger) error {
	k, err := newKeeper(cfg, log)
	if err != nil {
		return err
	}
	k.readStatus()
	failed := errors.Join(testbed.Remove(ctx, k.work), removeFile(k.disk))
	for _, at := range k.places() {
		err := at.failed
		if err == nil {
			err = errors.Join(nova.Unboot(ctx, at.region, bootName(cfg.Cloud.Name)), k.publication(at.region).Clear(ctx))
		}
		if err != nil && k.known(at).ID == "" {
			k.log.Warn("a region is left as it is: nothing is known to be there", "region", at.name(), "error", err)
			err = nil
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// removeFile removes a file that may be there.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
