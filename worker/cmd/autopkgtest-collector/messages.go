package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/index"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/site"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// hintHandler has the index look where a completion message points to. Nothing else of the message is used.
type hintHandler struct {
	lister *index.Lister // knows the index, the store and the releases
	log    *slog.Logger
}

func (h hintHandler) handle(ctx context.Context, body []byte) error {
	completion, err := queue.ParseCompletion(body)
	if err != nil {
		return err
	}
	loc := completion.Location
	log := h.log.With("release", loc.Release, "arch", loc.Architecture, "package", loc.Package, "run", string(loc.RunID))
	if release, public := index.ReleaseOf(loc.Container, h.lister.Releases); !public || release != loc.Release {
		log.Debug("a result that this site does not show", "container", loc.Container)
		return nil
	}
	added, err := h.lister.Index.Ingest(ctx, h.lister.Store, loc)
	switch {
	case err == nil && added:
		log.Info("result indexed")
	case err == nil:
		log.Debug("result known already")
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrDenied), errors.Is(err, result.ErrDamaged):
		return err
	default:
		// The store or the disk is at fault. Whatever was announced meanwhile, listing finds it.
		h.lister.Poke()
		return fmt.Errorf("%w; the result will be found by listing the store", err)
	}
	return nil
}

func updateRunning(running *site.Running, d queue.Delivery) error {
	status, err := queue.StatusOf(d)
	if err != nil {
		return err
	}
	return running.Update(status)
}
