//go:build openstack

package cloudimage

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/nova"
)

// lab is a job in a folder of its own, for an image that no other test has. Its canary boots servers on simulated hypervisors.
type lab struct {
	*keeper
	t       *testing.T
	between *openstacktest.Between
}

func newLab(t *testing.T) lab {
	t.Helper()
	folder := t.TempDir()
	l := lab{t: t, between: openstacktest.NewBetween(t, openstacktest.Scalingstack, openstacktest.Lcy01)}
	other := func(text string) string { return strings.ReplaceAll(text, openstacktest.Lcy01, openstacktest.Lgw01) }
	cfg := config.Image{
		Release: "noble", Architecture: "amd64", Directory: folder,
		Cloud: &config.CloudImage{
			Name: "test/" + strings.ToLower(rand.Text()), Source: filepath.Join(folder, "disk.img"), Canary: config.CanaryBoot,
			Nova: config.Nova{RCFiles: []string{l.between.RCFile(t, nil), l.between.RCFile(t, other)}, Flavor: "m1.tiny",
				Options: []string{"--net-id", "net_scalingstack"}},
		},
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	var err error
	if l.keeper, err = newKeeper(cfg, log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.between.Spoil(nil)
		if err := Withdraw(context.WithoutCancel(t.Context()), cfg, log); err != nil {
			t.Error(err)
		}
	})
	return l
}

// good is the canary of tests that are not about canaries: a boot takes seconds.
func good(context.Context, trial) error { return nil }

// newDisk has the source offer another disk.
func (l lab) newDisk() (sum string) {
	l.t.Helper()
	content := rawDisk(rand.Text())
	if err := os.WriteFile(l.cfg.Cloud.Source, []byte(content), 0o600); err != nil {
		l.t.Fatal(err)
	}
	l.sumForgotten()
	return sumText(content)
}

func (l lab) sumForgotten() { l.sum = "" }

func (l lab) region() *openstack.Region {
	l.t.Helper()
	region, err := nova.OpenRegion(&l.sessions, l.cfg.Cloud.Nova.RCFiles[0])
	if err != nil {
		l.t.Fatal(err)
	}
	return region
}

// found is the image that a worker finds; empty for none.
func (l lab) found() string {
	l.t.Helper()
	found, err := l.region().NewestImage(l.t.Context(), l.cfg.Cloud.Name)
	if err != nil && !errors.Is(err, openstack.ErrNotFound) {
		l.t.Fatal(err)
	}
	return found.ID
}

func (l lab) shelf() openstack.Shelf {
	l.t.Helper()
	shelf, err := l.publication(l.region()).Look(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return shelf
}

// says checks the status that others read.
func (l lab) says(phase testbed.Phase, id string, about ...string) Status {
	l.t.Helper()
	status, err := ReadStatus(l.path)
	if err != nil {
		l.t.Fatal(err)
	}
	if status.Phase != phase || len(status.Images) != 2 || status.Images[0].ID != id || status.Images[1].ID != id {
		l.t.Errorf("status %+v, want %s with image %q in two regions", status, phase, id)
	}
	for _, word := range about {
		if !strings.Contains(status.Error, word) {
			l.t.Errorf("%q does not say %q", status.Error, word)
		}
	}
	return status
}

func (l lab) uploads() int { return l.between.Count(http.MethodPut, "image", "/file") }

func (l lab) servers() (count int) {
	l.t.Helper()
	for i := range l.cfg.Cloud.Nova.RCFiles {
		region, err := nova.OpenRegion(&l.sessions, l.cfg.Cloud.Nova.RCFiles[i])
		if err != nil {
			l.t.Fatal(err)
		}
		all, err := region.ServersTagged(l.t.Context(), "testbed:"+bootName(l.cfg.Cloud.Name))
		if err != nil {
			l.t.Fatal(err)
		}
		for _, server := range all {
			if server.TaskState != "deleting" && server.Status != openstack.StatusDeleted {
				count++
			}
		}
	}
	return count
}

// TestKeep: a disk becomes the image of two regions that share their image service, once; another one takes its place, and the first goes.
func TestKeep(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	sum := l.newDisk()
	tried := map[string]int{}
	boots := l.prove
	l.prove = func(ctx context.Context, tr trial) error {
		tried[tr.region.Name()]++
		if got := l.found(); got == tr.image {
			t.Error("a worker takes an image that is not proven")
		}
		return boots(ctx, tr)
	}
	next, err := l.once(t.Context())
	if err != nil || next != lookEvery {
		t.Fatalf("next in %s, %v", next, err)
	}
	first := l.found()
	if status := l.says(testbed.PhaseReady, first); first == "" || status.Images[0].SHA256 != sum || !status.Complete() {
		t.Errorf("%+v", status)
	}
	if tried[openstacktest.Lcy01] != 1 || tried[openstacktest.Lgw01] != 1 || l.uploads() != 1 {
		t.Errorf("canaries %v, %d uploads", tried, l.uploads())
	}
	l.sumForgotten()
	if _, err := l.once(t.Context()); err != nil || l.found() != first || l.uploads() != 1 {
		t.Errorf("nothing to do: %v, %d uploads", err, l.uploads())
	}
	l.newDisk()
	if next, err = l.once(t.Context()); err != nil || next != lookEvery {
		t.Fatalf("next in %s, %v", next, err)
	}
	second := l.found()
	if l.says(testbed.PhaseReady, second); second == first || len(l.shelf().Published) != 2 {
		t.Errorf("%s after %s; %+v", second, first, l.shelf())
	}
	l.rest = 0
	if _, err := l.once(t.Context()); err != nil || len(l.shelf().Published) != 1 || l.found() != second {
		t.Errorf("%v; %+v", err, l.shelf())
	}
	if count := l.servers(); count != 0 {
		t.Errorf("%d servers are left", count)
	}
	if left, _ := filepath.Glob(l.work + "/*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if err := Withdraw(t.Context(), l.cfg, l.log); err != nil || l.found() != "" || len(l.shelf().Published) != 0 {
		t.Errorf("withdrawn: %v; %+v", err, l.shelf())
	}
}

// TestBadImage: an image that fails its canary is removed, and the one before stays; what could not be tried is tried again without
// another upload.
func TestBadImage(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	boots := l.prove
	l.prove = good
	l.newDisk()
	if _, err := l.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := l.found()
	l.prove = boots
	l.newDisk()
	refuse := func(s openstacktest.Seen) bool {
		return s.Method == http.MethodPost && s.Path == "/servers" && s.Region == openstacktest.Lgw01
	}
	answer := func(status int, words string) {
		l.between.Spoil(func(s openstacktest.Seen, w http.ResponseWriter) bool {
			if refuse(s) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				_, _ = w.Write([]byte(`{"badRequest": {"code": 400, "message": "` + words + `"}}`))
			}
			return refuse(s)
		})
	}
	answer(http.StatusBadRequest, "Image is unacceptable: Image has no associated data")
	if _, err := l.once(t.Context()); !errors.Is(err, testbed.ErrCanary) {
		t.Errorf("a bad image: %v", err)
	}
	l.says(testbed.PhaseFailed, before, "canary", "region lgw01", "Image has no associated data")
	if shelf := l.shelf(); l.found() != before || len(shelf.Published) != 1 || l.uploads() != 2 {
		t.Errorf("%+v, %d uploads", shelf, l.uploads())
	}
	answer(http.StatusForbidden, "Quota exceeded for instances")
	if _, err := l.once(t.Context()); !errors.Is(err, openstack.ErrQuota) || errors.Is(err, testbed.ErrCanary) {
		t.Errorf("no room: %v", err)
	}
	l.says(testbed.PhaseFailed, before, "region lgw01", "Quota exceeded")
	l.between.Spoil(nil)
	uploads := l.uploads()
	if uploads != 3 { // the bad one was not taken again
		t.Errorf("%d uploads", uploads)
	}
	if _, err := l.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.says(testbed.PhaseReady, l.found()); l.found() == before || l.uploads() != uploads {
		t.Errorf("there is room again: %d uploads after %d", l.uploads(), uploads)
	}
}

// leaveServer boots one as a canary does that is killed before it removes it.
func (l lab) leaveServer(id string) {
	l.t.Helper()
	r := l.region()
	size, err := r.Flavor(l.t.Context(), l.cfg.Cloud.Nova.Flavor)
	if err != nil {
		l.t.Fatal(err)
	}
	network, err := r.InternalNetwork(l.t.Context(), "net_scalingstack")
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := r.Boot(l.t.Context(), openstack.Boot{
		Name: "left", Image: id, Flavor: size.ID, Network: network.ID,
		Tags: []string{"autopkgtest-cloud", "autopkgtest-testbed", "testbed:" + bootName(l.cfg.Cloud.Name)},
	}); err != nil {
		l.t.Fatal(err)
	}
}

// hide takes an image from all patterns.
func hide(t *testing.T, r *openstack.Region, id string) {
	t.Helper()
	if err := r.Do(t.Context(), openstack.Image, func(client *gophercloud.ServiceClient) error {
		return images.Update(t.Context(), client, id, images.UpdateOpts{images.ReplaceImageHidden{NewHidden: true}}).Err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestStopped: a job that is ended in the middle leaves the image in use, and the next one finishes what it has begun.
func TestStopped(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.newDisk()
	boots := l.prove
	ctx, stop := context.WithCancel(t.Context())
	var candidate string
	l.prove = func(ctx context.Context, tr trial) error {
		candidate = tr.image
		stop()
		return boots(ctx, tr)
	}
	if _, err := l.once(ctx); err != nil {
		t.Errorf("%v", err)
	}
	if status, err := ReadStatus(l.path); err != nil || status.Phase != testbed.PhaseStopped || l.found() != "" {
		t.Errorf("%+v, %v; %s is found", status, err, l.found())
	}
	l.prove = boots
	l.leaveServer(candidate)
	if l.servers() != 1 {
		t.Fatalf("%d servers", l.servers())
	}
	if _, err := l.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.says(testbed.PhaseReady, candidate); l.found() != candidate || l.uploads() != 1 || l.servers() != 0 {
		t.Errorf("%s instead of %s, %d uploads, %d servers", l.found(), candidate, l.uploads(), l.servers())
	}
}

// TestOneAway: an image service that is away does not keep another from its image, and what is known of it stays known.
func TestOneAway(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.prove = good
	away := openstacktest.NewBetween(t, openstacktest.Scalingstack, openstacktest.Lcy01)
	l.cfg.Cloud.Nova.RCFiles[1] = away.RCFile(t, func(text string) string { return strings.ReplaceAll(text, "lcy01", "lcy09") })
	l.newDisk()
	if _, err := l.once(t.Context()); !errors.Is(err, openstack.ErrUnknownRegion) {
		t.Errorf("%v", err)
	}
	status, err := ReadStatus(l.path)
	if err != nil || len(status.Images) != 2 || status.Images[0].ID != l.found() || status.Images[0].ID == "" || status.Images[1].ID != "" ||
		status.Complete() || !strings.Contains(status.Images[1].Error, "lcy09") {
		t.Errorf("%+v, %v", status, err)
	}
	l.cfg.Cloud.Nova.RCFiles = l.cfg.Cloud.Nova.RCFiles[:1] // for the end of the test
}

// TestUnprovable: what no server could be made of is found before anything is uploaded.
func TestUnprovable(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.newDisk()
	l.cfg.Cloud.Nova.Flavor, l.cfg.Cloud.Nova.Options = "m9.none", append(l.cfg.Cloud.Nova.Options, "--keyname", "nobody's")
	_, err := l.once(t.Context())
	if !errors.Is(err, openstack.ErrNotFound) || !strings.Contains(err.Error(), "m9.none") || !strings.Contains(err.Error(), "nobody's") {
		t.Errorf("%v", err)
	}
	if l.uploads() != 0 {
		t.Errorf("%d uploads", l.uploads())
	}
}

// TestBuilt: a disk that is built here is built once for all regions, kept until they have it, and built anew when it is old.
func TestBuilt(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cfg.Cloud.Source, l.source.conf.Source = "", ""
	builds := 0
	l.builder = func(_ context.Context, _ config.Image, folder string, _ *slog.Logger) (string, error) {
		builds++
		path := filepath.Join(folder, "built")
		return path, os.WriteFile(path, []byte(rawDisk(rand.Text())), 0o600)
	}
	l.prove = func(context.Context, trial) error { return errors.New("no room now") }
	if _, err := l.once(t.Context()); err == nil || builds != 1 {
		t.Fatalf("%v, %d builds", err, builds)
	}
	if _, err := os.Stat(l.disk); err != nil {
		t.Errorf("the disk is not kept: %v", err)
	}
	l.prove = good
	if _, err := l.once(t.Context()); err != nil || builds != 1 || l.uploads() != 1 {
		t.Fatalf("%v, %d builds, %d uploads", err, builds, l.uploads())
	}
	first := l.found()
	if _, err := os.Stat(l.disk); first == "" || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%q; the disk: %v", first, err)
	}
	if _, err := l.once(t.Context()); err != nil || builds != 1 || l.found() != first {
		t.Errorf("nothing to do: %v, %d builds", err, builds)
	}
	// Somebody deletes the image: the disk is gone, so another one is built, one turn later.
	if err := l.publication(l.region()).Withdraw(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if _, err := l.once(t.Context()); err == nil {
		t.Error("there is no disk")
	}
	if _, err := l.once(t.Context()); err != nil || builds != 2 || l.found() == "" {
		t.Errorf("%v, %d builds", err, builds)
	}
	// It is old, or another recipe's.
	before := l.found()
	status, err := ReadStatus(l.path)
	if err != nil {
		t.Fatal(err)
	}
	l.cfg.Every = time.Since(status.Built.At)
	if _, err := l.once(t.Context()); err != nil || builds != 3 || l.found() == before {
		t.Errorf("%v, %d builds", err, builds)
	}
	l.cfg.Every, l.cfg.Include = 24*time.Hour, []string{"hello"}
	if _, err := l.once(t.Context()); err != nil || builds != 4 {
		t.Errorf("%v, %d builds", err, builds)
	}
}

// TestHidden: what an operator has taken from the workers is not given to them again.
func TestHidden(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.prove = good
	l.newDisk()
	if _, err := l.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	hide(t, l.region(), l.found())
	if _, err := l.once(t.Context()); err == nil || !strings.Contains(err.Error(), "hidden") || l.found() != "" || l.uploads() != 1 {
		t.Errorf("%v, %d uploads", err, l.uploads())
	}
	l.newDisk()
	if _, err := l.once(t.Context()); err != nil || l.found() == "" {
		t.Errorf("another disk: %v", err)
	}
}

// TestKeepEnds: the job ends with its context, and that is no error.
func TestKeepEnds(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.newDisk()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Keep(ctx, l.cfg, l.log) }()
	for begin := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		if status, err := ReadStatus(l.path); err == nil && status.Complete() && status.Phase == testbed.PhaseReady {
			break
		}
		if time.Since(begin) > 2*time.Minute {
			t.Fatal("there is no image after two minutes")
		}
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it does not end")
	}
}
