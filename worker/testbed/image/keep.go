package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// backendName is the backend that uses these images. The program must have it.
const backendName = "unshare"

// Waiting after failures: an archive that is being updated is back in seconds, a wrong configuration not for hours.
const (
	firstRetry = 10 * time.Second
	lastRetry  = 30 * time.Minute
)

// Keep keeps one image until ctx ends, which is no error: it builds it when it is missing, older than cfg.Every or made
// after another recipe, and tries again when that fails. Two seconds after ctx has ended, nothing of it is left.
//
//	          missing, old, other recipe            built            canary passed
//	┌─► ready ──────────────────────────► building ───────► canary ────────────────► swapped in ──┐
//	│                                       ▲ │  failed       │ failed                            │
//	│                                       │ ▼               ▼                                   │
//	│                                      failed (waits; the image in place stays)               │
//	└─────────────────────────────────────────────────────────────────────────────────────────────┘
func Keep(ctx context.Context, cfg config.Image, log *slog.Logger) error {
	k, err := newKeeper(ctx, cfg, log)
	if err != nil {
		return err
	}
	Repeat(ctx, k.log, k.once, func() bool {
		_, missing := os.Stat(k.image)
		return missing != nil
	})
	return nil
}

// Repeat does turns until ctx ends. A turn returns when the next is due, or fails and is done again soon: later each time. When a turn has
// succeeded, what it has made is looked for every few seconds, and the next turn is at once when it is gone.
func Repeat(ctx context.Context, log *slog.Logger, turn func(context.Context) (time.Duration, error), gone func() bool) {
	retry := firstRetry
	for ctx.Err() == nil {
		pause, err := turn(ctx)
		if err != nil && ctx.Err() == nil {
			log.Error("no new image", "error", err, "again in", retry)
			pause, retry = retry, min(2*retry, lastRetry)
		} else {
			retry = firstRetry
		}
		rest(ctx, pause, err == nil, gone)
	}
}

// lookEvery is how soon it is noticed that somebody has taken the image away.
const lookEvery = 5 * time.Second

// rest waits, but not longer than there is an image if there should be one.
func rest(ctx context.Context, pause time.Duration, image bool, gone func() bool) {
	for until := time.Now().Add(pause); ctx.Err() == nil && time.Until(until) > 0; {
		wait(ctx, min(lookEvery, time.Until(until)))
		if image && gone() {
			return
		}
	}
}

// Once does one turn of Keep: it returns when the image is in place and fresh, or says why it is not.
func Once(ctx context.Context, cfg config.Image, log *slog.Logger) error {
	k, err := newKeeper(ctx, cfg, log)
	if err != nil {
		return err
	}
	_, err = k.once(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func wait(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// keeper keeps one image.
type keeper struct {
	cfg    config.Image
	host   []source
	recipe recipe
	log    *slog.Logger
	image  string // where it is swapped in
	status status
}

func newKeeper(ctx context.Context, cfg config.Image, log *slog.Logger) (*keeper, error) {
	queue := request.Queue{Release: cfg.Release, Architecture: cfg.Architecture}
	if err := queue.Validate(); err != nil {
		return nil, err
	}
	if cfg.Every == 0 {
		cfg.Every = config.DefaultEvery
	}
	host := hostSources("/")
	k := &keeper{cfg: cfg, host: host, recipe: newRecipe(cfg, host, aptProxy(ctx)),
		log: log.With("release", cfg.Release, "arch", cfg.Architecture), image: testbed.ImagePath(cfg.Directory, queue)}
	k.status = status{path: testbed.InfoPath(k.image)}
	return k, nil
}

// once builds the image if it is due, and returns for how long it then is fresh.
func (k *keeper) once(ctx context.Context) (fresh time.Duration, err error) {
	unlock, err := k.lock(ctx)
	if err != nil {
		return 0, err
	}
	defer unlock()
	folder := filepath.Join(k.cfg.Directory, "."+k.cfg.Release+"-"+k.cfg.Architecture+".work")
	if err := testbed.Remove(ctx, folder); err != nil { // of a job that was killed
		return 0, err
	}
	k.readStatus()
	if left := k.freshFor(k.image, k.status.info); left > 0 {
		k.dropCandidate()
		return left, k.status.enter(testbed.PhaseReady, nil)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		return 0, fmt.Errorf("make a folder to build an image in: %w", err)
	}
	err = k.renew(ctx, folder)
	err = errors.Join(err, testbed.Remove(context.WithoutCancel(ctx), folder))
	return k.freshFor(k.image, k.status.info), errors.Join(err, k.settle(ctx, err))
}

// settle notes the end of an attempt.
func (k *keeper) settle(ctx context.Context, err error) error {
	_, missing := os.Stat(k.image)
	switch {
	case err == nil:
		return k.status.enter(testbed.PhaseReady, nil)
	case ctx.Err() != nil && missing == nil:
		return k.status.enter(testbed.PhaseReady, nil)
	case ctx.Err() != nil:
		return k.status.enter(testbed.PhaseStopped, errors.New("the job was stopped before the image was ready"))
	}
	return k.status.enter(testbed.PhaseFailed, err)
}

// renew gets a new image, by taking a candidate or by building one, proves it and swaps it in.
func (k *keeper) renew(ctx context.Context, folder string) error {
	image, info, found := k.candidate()
	if !found {
		if err := k.status.enter(testbed.PhaseBuilding, nil); err != nil {
			return err
		}
		var err error
		if image, info, err = k.build(ctx, folder); err != nil {
			return err
		}
	}
	if err := k.status.enter(testbed.PhaseCanary, nil); err != nil {
		return err
	}
	// The canary takes the image's description from the file beside it, as any run does.
	if err := writeInfo(testbed.InfoPath(image), info); err != nil {
		return err
	}
	queue := request.Queue{Release: k.cfg.Release, Architecture: k.cfg.Architecture}
	if err := runCanary(ctx, queue, image, folder, k.log); err != nil {
		if ctx.Err() == nil {
			k.dropCandidate()
		}
		return err
	}
	if err := os.Rename(image, k.image); err != nil {
		return fmt.Errorf("swap in the new image: %w", err)
	}
	info.Canary, info.Proven, info.Phase = testbed.CanaryPassed, time.Now().UTC().Truncate(time.Second), testbed.PhaseReady
	k.status.info = info
	k.dropCandidate()
	k.log.Info("image swapped in", "image", k.image)
	return k.status.enter(testbed.PhaseReady, nil)
}

// readStatus reads what is known of the image in place. Without an image, whatever the file says is void.
func (k *keeper) readStatus() {
	info, err := testbed.ReadImageInfo(k.image)
	if _, missing := os.Stat(k.image); err != nil || missing != nil {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			k.log.Warn("the image's description cannot be read: the image is built anew", "error", err)
		}
		info = testbed.ImageInfo{}
	}
	info.Release, info.Architecture = k.cfg.Release, k.cfg.Architecture
	k.status.info = info
}

// freshFor says how long an image can still be used before the next is due; nothing or less for one that cannot.
func (k *keeper) freshFor(image string, info testbed.ImageInfo) time.Duration {
	if _, err := os.Stat(image); err != nil || info.Recipe != k.recipe.hash() || info.Canary != testbed.CanaryPassed {
		return 0
	}
	age := time.Since(info.Built)
	if age < 0 { // the clock was set back: better too young than never
		return 0
	}
	return k.cfg.Every - age
}
