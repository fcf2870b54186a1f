//go:build openstack

package openstack_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/imagedata"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
)

// publication is one that no other test has, empty at the end of the test.
func publication(t *testing.T, r *openstack.Region) openstack.Publication {
	t.Helper()
	p := openstack.Publication{Region: r, Name: "test-" + strings.ToLower(rand.Text()), Rest: time.Hour}
	t.Cleanup(func() {
		for _, image := range marked(t, p) {
			unprotect(t, p.Region, image)
			if err := p.Withdraw(context.WithoutCancel(t.Context()), image.ID); err != nil {
				t.Error(err)
			}
		}
	})
	return p
}

// marked are all images with the publication's tags, hidden or not, as the image service lists them.
func marked(t *testing.T, p openstack.Publication) (all []images.Image) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if err := p.Region.Do(ctx, openstack.Image, func(client *gophercloud.ServiceClient) error {
		for _, hidden := range []bool{false, true} {
			pages, err := images.List(client, images.ListOpts{Tags: p.Tags(), Hidden: hidden}).AllPages(ctx)
			if err != nil {
				return err
			}
			found, err := images.ExtractImages(pages)
			if err != nil {
				return err
			}
			all = append(all, found...)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	return all
}

func unprotect(t *testing.T, r *openstack.Region, image images.Image) {
	t.Helper()
	if image.Protected {
		change(t, r, image.ID, images.ReplaceImageProtected{})
	}
}

func change(t *testing.T, r *openstack.Region, id string, patch images.Patch) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if err := r.Do(ctx, openstack.Image, func(client *gophercloud.ServiceClient) error {
		return images.Update(ctx, client, id, images.UpdateOpts{patch}).Err
	}); err != nil {
		t.Error(err)
	}
}

// disk is one with bytes that no other has.
func disk(t *testing.T) openstack.Disk {
	t.Helper()
	content := []byte(strings.Repeat(rand.Text(), 10000))
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	short, long := sha256.Sum256(content), sha512.Sum512(content)
	return openstack.Disk{Path: path, Format: "raw", Size: int64(len(content)), SHA256: hex.EncodeToString(short[:]), SHA512: hex.EncodeToString(long[:])}
}

// newest is the name of the image that a worker would take; empty for none.
func newest(t *testing.T, p openstack.Publication) string {
	t.Helper()
	image, err := p.Region.NewestImage(t.Context(), p.Name)
	if err != nil && !errors.Is(err, openstack.ErrNotFound) {
		t.Fatal(err)
	}
	return image.Name
}

// publish is the whole way of a disk.
func publish(t *testing.T, p openstack.Publication) (id, name string) {
	t.Helper()
	id, err := p.Offer(t.Context(), disk(t))
	if err != nil {
		t.Fatal(err)
	}
	if name, err = p.Publish(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	return id, name
}

// TestPublication: what is offered is seen by nobody, and boots; what is published takes the place of the one before, which goes later.
func TestPublication(t *testing.T) {
	t.Parallel()
	p := publication(t, scalingstack(t))
	first, firstName := publish(t, p)
	if got := newest(t, p); got != firstName || !strings.HasPrefix(got, p.Name+"-20") {
		t.Fatalf("published as %q, and the pattern finds %q", firstName, got)
	}
	d := disk(t)
	second, err := p.Offer(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if image, err := p.Region.NewestImage(t.Context(), second); err != nil || !image.Hidden || strings.Contains(image.Name, p.Name) {
		t.Errorf("the candidate, by its id: %+v, %v", image, err)
	}
	for _, pattern := range []string{p.Name, ".*"} {
		if image, err := p.Region.NewestImage(t.Context(), pattern); err != nil || image.ID == second {
			t.Errorf("%s finds the candidate; %v", pattern, err)
		}
	}
	if again, err := p.Offer(t.Context(), d); again != second || err != nil {
		t.Errorf("the same disk again: %s, %v; want %s", again, err, second)
	}
	name, err := p.Publish(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	if image, err := p.Region.NewestImage(t.Context(), p.Name); err != nil || image.ID != second || image.Visibility != images.ImageVisibilityPrivate {
		t.Errorf("the newest is %s, %v; want %s, %s", image.Name, err, name, second)
	}
	shelf, err := p.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if current, _ := shelf.Current(); current.ID != second || current.SHA256 != d.SHA256 || time.Since(current.At) > time.Minute || len(shelf.Published) != 2 {
		t.Errorf("%+v", shelf)
	}
	if next, err := p.Retire(t.Context()); err != nil || next < 50*time.Minute || len(marked(t, p)) != 2 {
		t.Errorf("too early: next in %s, %v", next, err)
	}
	p.Rest = 0
	change(t, p.Region, first, images.ReplaceImageProtected{NewProtected: true})
	if next, err := p.Retire(t.Context()); err != nil || next != 0 || len(marked(t, p)) != 2 {
		t.Errorf("what is protected stays: next in %s, %v", next, err)
	}
	change(t, p.Region, first, images.ReplaceImageProtected{})
	if _, err := p.Retire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := marked(t, p); len(left) != 1 || left[0].ID != second {
		t.Errorf("left: %+v", left)
	}
}

// TestPublicationOfOthers: what is not ours stays, whatever it is called and whatever tags somebody has given it.
func TestPublicationOfOthers(t *testing.T) {
	t.Parallel()
	p := publication(t, scalingstack(t))
	q := p // the same in another project, whose images are shown to all
	q.Region = region(t, new(openstack.Sessions), openstacktest.Cloud(t, openstacktest.Admin, openstacktest.Lcy01))
	public := images.ImageVisibilityPublic
	var foreign []string
	for _, made := range []struct {
		region *openstack.Region
		opts   images.CreateOpts
	}{
		{p.Region, images.CreateOpts{Name: p.Name + "-20260101T000000Z"}},
		{p.Region, images.CreateOpts{Name: p.Name + "-20260102T000000Z", Tags: p.Tags()[:2]}},
		{q.Region, images.CreateOpts{Name: p.Name + "-20260103T000000Z", Tags: p.Tags(), Visibility: &public}},
		{q.Region, images.CreateOpts{Name: "unproven", Tags: append(p.Tags(), "autopkgtest-candidate"), Visibility: &public}},
	} {
		made.opts.ContainerFormat, made.opts.DiskFormat = "bare", "raw"
		if err := made.region.Do(t.Context(), openstack.Image, func(client *gophercloud.ServiceClient) error {
			image, err := images.Create(t.Context(), client, made.opts).Extract()
			if err != nil {
				return err
			}
			foreign = append(foreign, image.ID)
			t.Cleanup(func() {
				_ = openstack.Publication{Region: made.region}.Withdraw(context.WithoutCancel(t.Context()), image.ID)
			})
			return imagedata.Upload(t.Context(), client, image.ID, strings.NewReader("theirs")).ExtractErr()
		}); err != nil {
			t.Fatal(err)
		}
	}
	p.Rest = 0
	publish(t, p)
	publish(t, p)
	if _, err := p.Retire(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range foreign {
		if _, err := q.Region.NewestImage(t.Context(), id); err != nil {
			t.Errorf("somebody else's image: %v", err)
		}
	}
	if shelf, err := p.Look(t.Context()); err != nil || len(shelf.Published) != 1 {
		t.Errorf("%+v, %v", shelf, err)
	}
}

// TestUploadInterrupted: whatever an upload that was cut off has left, the next one ends with one whole image.
func TestUploadInterrupted(t *testing.T) {
	t.Parallel()
	isUpload := func(s openstacktest.Seen) bool {
		return s.Method == http.MethodPut && strings.HasSuffix(s.Path, "/file")
	}
	isCreate := func(s openstacktest.Seen) bool {
		return s.Method == http.MethodPost && strings.HasSuffix(s.Path, "/images")
	}
	for name, c := range map[string]struct {
		disturb func(*openstacktest.Between)
		kind    error // of the first try; nil if that succeeds
		left    int   // images that the first try leaves
		uploads int   // of both tries
	}{
		"cut off": {func(b *openstacktest.Between) {
			b.Spoil(func(s openstacktest.Seen, w http.ResponseWriter) bool {
				if isUpload(s) {
					openstacktest.Cut(w)
				}
				return false
			})
		}, openstack.ErrUnavailable, 0, 2},
		"too large": {func(b *openstacktest.Between) {
			b.Spoil(func(s openstacktest.Seen, w http.ResponseWriter) bool {
				if isUpload(s) {
					http.Error(w, "Denying attempt to upload image because it exceeds the quota", http.StatusRequestEntityTooLarge)
				}
				return isUpload(s)
			})
		}, openstack.ErrQuota, 0, 2},
		"not known whether it is made":   {func(b *openstacktest.Between) { b.Lose(isCreate) }, openstack.ErrUnavailable, 1, 1},
		"not known whether it has ended": {func(b *openstacktest.Between) { b.Lose(isUpload) }, nil, 1, 1},
		"killed in the middle": {func(b *openstacktest.Between) {
			b.Spoil(func(s openstacktest.Seen, w http.ResponseWriter) bool {
				if isUpload(s) || s.Method == http.MethodDelete { // nobody tidies up
					openstacktest.Cut(w)
				}
				return false
			})
		}, openstack.ErrUnavailable, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			between := openstacktest.NewBetween(t, openstacktest.Scalingstack, openstacktest.Lcy01)
			p := publication(t, region(t, new(openstack.Sessions), between.Cloud(t)))
			d := disk(t)
			c.disturb(between)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // the rest of it is the patience of retries
			defer cancel()
			if _, err := p.Offer(ctx, d); c.kind == nil && err != nil || c.kind != nil && !errors.Is(err, c.kind) {
				t.Fatalf("%v, want «%v»", err, c.kind)
			}
			between.Spoil(nil)
			between.Lose(nil)
			if left := marked(t, p); len(left) != c.left {
				t.Errorf("it leaves %d images, want %d", len(left), c.left)
			}
			id, err := p.Offer(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			if all := marked(t, p); len(all) != 1 || all[0].ID != id || all[0].Status != images.ImageStatusActive {
				t.Errorf("in the end: %+v", all)
			}
			if count := between.Count(http.MethodPut, "image", "/file"); count != c.uploads {
				t.Errorf("%d uploads, want %d", count, c.uploads)
			}
			if got := newest(t, p); got != "" {
				t.Errorf("a worker would take %s", got)
			}
		})
	}
}

// shortened is a body whose sender dies in the middle.
type shortened struct{ io.Reader }

func (s shortened) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = errors.New("died")
	}
	return n, err
}

// TestTruncated: half of an image is not taken for the whole one, whatever the image service thinks of it.
func TestTruncated(t *testing.T) {
	t.Parallel()
	p := publication(t, scalingstack(t))
	d := disk(t)
	hidden := true
	for _, body := range []io.Reader{
		nil, shortened{strings.NewReader(strings.Repeat("half", 1000))}, strings.NewReader("short"), strings.NewReader(strings.Repeat("x", int(d.Size))),
	} {
		if err := p.Region.Do(t.Context(), openstack.Image, func(client *gophercloud.ServiceClient) error {
			image, err := images.Create(t.Context(), client, images.CreateOpts{
				Name: "unproven", Hidden: &hidden, Tags: append(p.Tags(), "autopkgtest-candidate"), ContainerFormat: "bare", DiskFormat: "raw",
				Properties: map[string]string{"autopkgtest_sha256": d.SHA256},
			}).Extract()
			if err == nil && body != nil {
				_ = imagedata.Upload(t.Context(), client, image.ID, body).ExtractErr() // some are meant to fail
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	id, err := p.Offer(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if all := marked(t, p); len(all) != 1 || all[0].ID != id || all[0].SizeBytes != d.Size {
		t.Errorf("%+v", all)
	}
	d.SHA512 = strings.Repeat("0", 128)
	if _, err := p.Offer(t.Context(), d); !errors.Is(err, openstack.ErrBroken) || len(marked(t, p)) != 0 {
		t.Errorf("other bytes than the file had: %v", err)
	}
}

// TestPublishedUnheard: an answer that is lost leaves no doubt the next time one looks.
func TestPublishedUnheard(t *testing.T) {
	t.Parallel()
	between := openstacktest.NewBetween(t, openstacktest.Scalingstack, openstacktest.Lcy01)
	p := publication(t, region(t, new(openstack.Sessions), between.Cloud(t)))
	d := disk(t)
	id, err := p.Offer(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	between.Lose(func(s openstacktest.Seen) bool { return s.Method == http.MethodPatch })
	if _, err := p.Publish(t.Context(), id); !errors.Is(err, openstack.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	between.Lose(nil)
	shelf, err := p.Look(t.Context())
	if current, there := shelf.Current(); err != nil || !there || current.ID != id || current.SHA256 != d.SHA256 {
		t.Errorf("%+v, %v", shelf, err)
	}
	// An operator who does not trust it takes it from workers.
	change(t, p.Region, id, images.ReplaceImageHidden{NewHidden: true})
	if shelf, err = p.Look(t.Context()); err != nil || len(shelf.Published) != 1 {
		t.Errorf("%+v, %v", shelf, err)
	}
	if current, there := shelf.Current(); there {
		t.Errorf("%+v is hidden", current)
	}
}
