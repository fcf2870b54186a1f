package openstack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/imagedata"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
)

// Publication keeps one image in an image service. What is new is a candidate at first: hidden, so that neither a list nor an image
// pattern finds it, and bootable by its id alone. Publish shows it, in one step, and from then on it is the newest that a pattern finds.
// Retire removes those before it, after a while.
//
//	Offer            Publish             Retire, when a later one is there
//	─────► candidate ───────► published ───────────────────────────────► gone
//	           │ Withdraw, or another Offer
//	           └──────────────────────────────────────────────────────► gone
//
// Ours is what belongs to the login's project and has all of the tags of Tags. Nothing else is changed or removed, whatever it is called.
// An attempt that was interrupted leaves a candidate, which the next Offer takes if it is complete and of the same bytes, and removes
// otherwise. One process at a time may keep a publication.
type Publication struct {
	Region *Region
	// Name is what the names of its images begin with; a time follows. A project has one publication of a name.
	Name string
	// Rest is how long an image stays when a later one is published: servers that were just asked for are still made of it.
	Rest time.Duration
}

// Disk is a file that servers can boot from.
type Disk struct {
	Path, Format string // the format as the image service calls it: qcow2, raw
	Size         int64
	// SHA256 tells disks apart. SHA512 is what image services compute of what has arrived. Both are in hexadecimal digits.
	SHA256, SHA512 string
}

// The marks of an image: its tags, and properties of the kind that an image service keeps for its users.
const (
	imageTag     = "autopkgtest-image"
	namePrefix   = "image:"
	candidateTag = "autopkgtest-candidate"

	sumProperty  = "autopkgtest_sha256"
	timeProperty = "autopkgtest_published"

	stamp = "20060102T150405Z"
)

// uploadLimit bounds an upload: some gigabytes over a slow line.
const uploadLimit = 2 * time.Hour

// removeLimit bounds the removal of what an upload has left.
const removeLimit = 30 * time.Second

// Tags are those of all images of a publication.
func (p Publication) Tags() []string { return []string{OwnTag, imageTag, namePrefix + p.Name} }

// Offer returns the id of a candidate that is the disk: one that an earlier attempt has left, or one that is uploaded now. All other
// candidates are removed.
func (p Publication) Offer(ctx context.Context, disk Disk) (id string, err error) {
	shelf, err := p.Look(ctx)
	if err != nil {
		return "", err
	}
	for _, candidate := range shelf.candidates {
		if sumOf(candidate) == disk.SHA256 && p.verify(candidate, disk) == nil {
			id = candidate.ID
			break
		}
	}
	if err := p.dropCandidates(ctx, shelf, id); err != nil || id != "" {
		return id, err
	}
	return p.upload(ctx, disk)
}

// DropCandidates removes what attempts have left that nobody goes on with.
func (p Publication) DropCandidates(ctx context.Context) error {
	shelf, err := p.Look(ctx)
	if err != nil {
		return err
	}
	return p.dropCandidates(ctx, shelf, "")
}

func (p Publication) dropCandidates(ctx context.Context, shelf Shelf, but string) (failed error) {
	for _, candidate := range shelf.candidates {
		if candidate.ID != but {
			failed = errors.Join(failed, p.Withdraw(ctx, candidate.ID))
		}
	}
	return failed
}

func (p Publication) upload(ctx context.Context, disk Disk) (id string, err error) {
	file, err := os.Open(disk.Path)
	if err != nil {
		return "", fmt.Errorf("upload an image: %w", err)
	}
	defer file.Close()
	hidden, private := true, images.ImageVisibilityPrivate
	if err := p.Region.Do(ctx, Image, func(client *gophercloud.ServiceClient) error {
		made, err := images.Create(ctx, client, images.CreateOpts{
			// A name that a pattern for testbeds does not match, for services that do not know what hidden is.
			Name: "unproven-" + time.Now().UTC().Format(stamp), Hidden: &hidden, Visibility: &private,
			Tags: append(p.Tags(), candidateTag), ContainerFormat: "bare", DiskFormat: disk.Format,
			Properties: map[string]string{sumProperty: disk.SHA256},
		}).Extract()
		if err == nil {
			id = made.ID
		}
		return err
	}); err != nil {
		return "", err
	}
	err = p.Region.Do(ctx, Image, func(client *gophercloud.ServiceClient) error {
		limited, cancel := context.WithTimeout(ctx, uploadLimit)
		defer cancel()
		return imagedata.Upload(limited, client, id, file).ExtractErr()
	})
	// Whether all has arrived is what the service says of the image, not whether we have got an answer.
	image, lookErr := p.Region.ImageByID(ctx, id)
	if lookErr == nil {
		lookErr = p.verify(image, disk)
	}
	if lookErr == nil {
		return id, nil
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeLimit)
	defer cancel()
	return "", errors.Join(cmp.Or(err, lookErr), p.Withdraw(ending, id))
}

// verify says whether an image is complete and has the bytes of a disk.
func (p Publication) verify(image images.Image, disk Disk) error {
	cause := ""
	algorithm, _ := image.Properties["os_hash_algo"].(string)
	sum, _ := image.Properties["os_hash_value"].(string)
	switch {
	case image.Status != images.ImageStatusActive:
		cause = fmt.Sprintf("image %s is %s", image.ID, image.Status)
	case image.SizeBytes != disk.Size:
		cause = fmt.Sprintf("image %s has %d bytes, and the disk %d", image.ID, image.SizeBytes, disk.Size)
	case algorithm == "sha512" && sum != disk.SHA512:
		cause = fmt.Sprintf("image %s has other bytes than the disk", image.ID)
	default:
		return nil
	}
	return p.Region.NewError(ErrBroken, Image, cause,
		"the upload was disturbed, or the file changed meanwhile; it is done again by the next try")
}

// Publish shows a candidate that is proven, and returns its name. It is then the newest of the publication.
func (p Publication) Publish(ctx context.Context, id string) (name string, err error) {
	now := time.Now().UTC()
	name = p.Name + "-" + now.Format(stamp)
	return name, p.Region.Do(ctx, Image, func(client *gophercloud.ServiceClient) error {
		return images.Update(ctx, client, id, images.UpdateOpts{
			images.UpdateImageProperty{Op: images.AddOp, Name: timeProperty, Value: now.Format(time.RFC3339Nano)},
			images.ReplaceImageTags{NewTags: p.Tags()}, images.ReplaceImageName{NewName: name}, images.ReplaceImageHidden{NewHidden: false},
		}).Err
	})
}

// Withdraw removes an image of the publication, also half of one. One that is gone is no error.
func (p Publication) Withdraw(ctx context.Context, id string) error {
	return UnlessGone(p.Region.Do(ctx, Image, func(client *gophercloud.ServiceClient) error {
		return images.Delete(ctx, client, id).ExtractErr()
	}))
}

// Retire removes the images before the current one when that has been published for as long as Rest says, and returns when something is
// to be removed next; zero for nothing. What an operator has protected, and what the cloud needs for its servers, stays for now.
func (p Publication) Retire(ctx context.Context) (next time.Duration, err error) {
	shelf, err := p.Look(ctx)
	if err != nil {
		return 0, err
	}
	current, there := shelf.Current()
	if !there {
		return 0, nil
	}
	for _, old := range shelf.before(current) {
		if left := time.Until(current.At.Add(p.Rest)); left > 0 {
			return left, nil
		}
		if old.protected {
			continue
		}
		switch gone := p.Withdraw(ctx, old.ID); {
		case errors.Is(gone, ErrConflict):
			next = p.Rest
		case gone != nil:
			err = errors.Join(err, gone)
		}
	}
	return next, err
}

// Clear removes all images of the publication, and what attempts have left.
func (p Publication) Clear(ctx context.Context) error {
	shelf, err := p.Look(ctx)
	if err != nil {
		return err
	}
	failed := p.dropCandidates(ctx, shelf, "")
	for _, one := range shelf.Published {
		failed = errors.Join(failed, p.Withdraw(ctx, one.ID))
	}
	return failed
}
