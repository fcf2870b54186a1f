package cloudimage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/nova"
)

// trial is an image that is to be proven in a region.
type trial struct {
	queue  request.Queue
	conf   config.CloudImage
	region *openstack.Region
	source string // the region's RC file
	image  string // id
	folder string // for the canary alone; what it leaves there is removed with testbed.Remove
	log    *slog.Logger
}

// canary proves an image. Its error is a testbed.ErrCanary when the image is bad; any other one means that the region could not try it.
type canary func(context.Context, trial) error

// canaries are those of the configuration.
var canaries = map[config.CloudCanary]canary{config.CanaryTests: runTests, config.CanaryBoot: boot}

// ready says whether a canary can run in a region, as far as that is known before there is an image to try.
func (t trial) ready(ctx context.Context) error {
	of, err := config.ParseNovaTestbed(t.words())
	if err != nil {
		return fmt.Errorf("[nova] in image.conf: %w", err)
	}
	return nova.Supplies(ctx, t.region, of)
}

// words are those of worker.conf for testbeds in the trial's region alone, made from the trial's image.
func (t trial) words() []string {
	of := t.conf.Nova
	of.RCFiles, of.ImagePattern = []string{t.source}, t.image
	return of.NovaWords(of.Flavor)
}

// runTests runs the canary package on a server of the image, exactly as a worker runs a package.
func runTests(ctx context.Context, t trial) error {
	tailor := func(job testbed.Job) testbed.Job {
		job.BackendArguments = append([]string{nova.Name}, t.words()...)
		return job
	}
	runner, err := testbed.NewRunner(ctx, nova.Name, t.log, testbed.WithTailor(tailor), testbed.WithState(t.folder))
	if err != nil {
		return err
	}
	_, err = runner.Prove(ctx, testbed.Proof{Queue: t.queue, WorkDir: t.folder})
	return err
}

// boot is content with a server that becomes ACTIVE.
func boot(ctx context.Context, t trial) error {
	of, err := config.ParseNovaTestbed(t.words())
	if err != nil {
		return fmt.Errorf("[nova] in image.conf: %w", err)
	}
	return nova.Boots(ctx, t.region, of, testbed.Testbed{
		Release: t.queue.Release, Architecture: t.queue.Architecture, Package: "canary", Name: bootName(t.conf.Name),
	})
}

// bootName is the name of the testbed that boot makes. A tag is too short for some names of images.
func bootName(image string) string {
	sum := sha256.Sum256([]byte(image))
	return testbed.NamePrefix + "canary-" + hex.EncodeToString(sum[:8])
}
