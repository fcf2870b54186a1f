package cloudimage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/image"
)

// Built is the disk that was built last, where none is named. It lies beside the status until all regions have it.
type Built struct {
	Recipe string    `json:"recipe"`
	SHA256 string    `json:"sha256"`
	At     time.Time `json:"at"`
}

// wanted is the SHA-256 of the disk that there is to be. It is found out anew when it is time for that.
func (k *keeper) wanted(ctx context.Context) (string, error) {
	if k.cfg.Cloud.Source == "" {
		return k.build(ctx)
	}
	if k.sum == "" || time.Since(k.asked) >= k.cfg.Every {
		sum, err := k.source.sum(ctx)
		if err != nil {
			return "", fmt.Errorf("find out which disk it is to be: %w", err)
		}
		k.sum, k.asked = sum, time.Now()
	}
	return k.sum, nil
}

// build builds a disk if the last one is old or was built after another recipe.
func (k *keeper) build(ctx context.Context) (string, error) {
	recipe := image.DiskRecipe(ctx, k.cfg)
	last := k.status.Built
	if age := time.Since(last.At); last.Recipe == recipe && age >= 0 && age < k.cfg.Every {
		return last.SHA256, nil
	}
	if err := k.enter(testbed.PhaseBuilding, nil); err != nil {
		return "", err
	}
	folder, err := os.MkdirTemp(k.work, "build-")
	if err != nil {
		return "", err
	}
	path, err := k.builder(ctx, k.cfg, folder, k.log)
	if err != nil {
		return "", err
	}
	if err := os.Rename(path, k.disk); err != nil {
		return "", fmt.Errorf("keep a disk until it is published: %w", err)
	}
	disk, err := sumsOf(k.disk)
	if err != nil {
		return "", err
	}
	k.status.Built = Built{Recipe: recipe, SHA256: disk.SHA256, At: time.Now().UTC().Truncate(time.Second)}
	return disk.SHA256, nil
}

// forget has the next turn find out anew which disk it is to be.
func (k *keeper) forget() { k.sum, k.status.Built = "", Built{} }

// bring has the disk of a sum on this machine.
func (k *keeper) bring(ctx context.Context, sum string) (openstack.Disk, error) {
	from := k.source
	if from.conf.Source == "" {
		from.conf.Source = k.disk
	} else {
		k.log.Info("fetching the disk of a new image", "source", from.conf.Source, "sha256", sum)
	}
	disk, err := from.disk(ctx, sum, k.work)
	if errors.Is(err, os.ErrNotExist) && k.cfg.Cloud.Source == "" {
		err = fmt.Errorf("the disk was published before, and is not kept: the next turn builds another one: %w", err)
	}
	return disk, err
}
