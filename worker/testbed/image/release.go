package image

import (
	"context"
	"errors"
	"fmt"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// CheckRelease asks the archives that a build would look at whether one of them has the release: a misspelt name is
// found before anything is begun. ErrRelease means that all of them were asked and none has it; any other error, that
// one could not be asked, so that only the build will tell.
func CheckRelease(ctx context.Context, cfg config.Image) error {
	return checkRelease(ctx, newFetcher(aptProxy(ctx)), cfg, hostSources("/"))
}

func checkRelease(ctx context.Context, fetch *fetcher, cfg config.Image, host []source) error {
	sources := candidates(cfg, host)
	if cfg.Mirror != "" {
		sources = []source{mirrorSource(cfg, host)}
	}
	var asked []string
	var failed error
	for _, s := range sources {
		_, err := fetch.releaseFor(ctx, cfg, s)
		if err == nil {
			return nil
		}
		if asked = append(asked, s.shown()); !errors.Is(err, ErrRelease) {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.shown(), err))
		}
	}
	if failed != nil {
		return failed
	}
	return nowhere(cfg, asked)
}
