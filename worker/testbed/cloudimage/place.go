package cloudimage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/nova"
)

// place is a region in which the image is to be.
type place struct {
	source string // its RC file
	region *openstack.Region
	failed error // why it cannot be used; then there is no region

	// settled says that another region of this turn has the same image service, so that there is nothing to be done, or nothing that could
	// be: with what error.
	settled bool
	outcome error
}

func (k *keeper) places() (all []*place) {
	for _, source := range k.cfg.Cloud.Nova.RCFiles {
		p := &place{source: source}
		p.region, p.failed = nova.OpenRegion(&k.sessions, source)
		all = append(all, p)
	}
	return all
}

// name is the region's; where that is not known, it is the RC file's.
func (p *place) name() string {
	if p.failed == nil && p.region.Name() != "" {
		return p.region.Name()
	}
	return filepath.Base(p.source)
}

func (k *keeper) publication(r *openstack.Region) openstack.Publication {
	return openstack.Publication{Region: r, Name: k.cfg.Cloud.Name, Rest: k.rest}
}

// renew sees to it that a place has the image, and returns what is there in the end, and when something is to be done next.
func (k *keeper) renew(ctx context.Context, at *place, all []*place, d *fetched) (known Image, next time.Duration, err error) {
	known = k.known(at)
	if at.failed != nil {
		return known, 0, at.failed
	}
	p := k.publication(at.region)
	shelf, err := p.Look(ctx)
	if err != nil {
		return known, 0, err
	}
	known = placed(at, shelf)
	switch newest := shelf.Published; {
	case at.settled:
		err = at.outcome
	case len(newest) == 0 || newest[0].SHA256 != d.sum:
		err = k.publish(ctx, at, all, d)
	case !newest[0].Usable():
		err = fmt.Errorf("%s: somebody has hidden or deactivated the image %s: there will be no other one before the disk is another, "+
			"or this image is deleted", at.region, newest[0].Name)
	default:
		err = p.DropCandidates(ctx)
	}
	if err != nil {
		return known, 0, err
	}
	if next, err = p.Retire(ctx); err != nil {
		return known, next, err
	}
	if shelf, err = p.Look(ctx); err == nil {
		known = placed(at, shelf)
	}
	return known, next, err
}

func placed(at *place, shelf openstack.Shelf) Image {
	current, _ := shelf.Current()
	return Image{Region: at.name(), Source: at.source, ID: current.ID, Name: current.Name, SHA256: current.SHA256, Published: current.At}
}

// publish uploads the disk, proves it wherever it then is, and shows it. A candidate that could not be tried stays for the next turn, one
// that is bad is removed.
func (k *keeper) publish(ctx context.Context, at *place, all []*place, d *fetched) (err error) {
	if err := k.enter(testbed.PhaseBuilding, nil); err != nil {
		return err
	}
	if err := k.trial(at, "none").ready(ctx); err != nil { // rather than after an upload
		return err
	}
	disk, err := d.get(ctx)
	if err != nil {
		return err
	}
	p := k.publication(at.region)
	k.log.Info("uploading a new image", "region", at.name(), "megabytes", disk.Size>>20, "format", disk.Format)
	id, err := p.Offer(ctx, disk)
	if err != nil {
		return err
	}
	if err := k.enter(testbed.PhaseCanary, nil); err != nil {
		return err
	}
	shared := append([]*place{at}, sharing(ctx, at, all, id)...)
	defer func() {
		for _, one := range shared {
			one.settled, one.outcome = true, err
		}
	}()
	for _, one := range shared {
		err := k.tryIn(ctx, one, id)
		if errors.Is(err, testbed.ErrCanary) && ctx.Err() == nil {
			k.log.Warn("a new image is bad, and is removed again", "region", one.name(), "image", id)
			err = errors.Join(err, p.Withdraw(ctx, id))
		}
		if err != nil {
			return fmt.Errorf("prove the new image: %w", err)
		}
	}
	name, err := p.Publish(ctx, id)
	if err != nil {
		return err
	}
	k.log.Info("image published", "region", at.name(), "name", name, "image", id)
	return nil
}

// sharing are the other places where an image is that was uploaded in one: regions of a cloud may have one image service, under an address
// for each. A region that does not answer is not among them.
func sharing(ctx context.Context, at *place, all []*place, id string) (others []*place) {
	for _, other := range all {
		if other == at || other.failed != nil || other.settled {
			continue
		}
		if _, err := other.region.NewestImage(ctx, id); err == nil {
			others = append(others, other)
		}
	}
	return others
}

func (k *keeper) trial(at *place, id string) trial {
	return trial{
		queue: k.queue, conf: *k.cfg.Cloud, region: at.region, source: at.source, image: id, log: k.log.With("region", at.name()),
	}
}

// tryIn runs the canary in a place.
func (k *keeper) tryIn(ctx context.Context, at *place, id string) (err error) {
	folder, err := os.MkdirTemp(k.work, "canary-")
	if err != nil {
		return err
	}
	t := k.trial(at, id)
	t.folder = folder
	if err = k.prove(ctx, t); err != nil {
		err = fmt.Errorf("%s: %w", at.region, err)
	}
	return errors.Join(err, testbed.Remove(context.WithoutCancel(ctx), folder))
}
