package openstack

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
)

// Published is an image of a publication that has been shown.
type Published struct {
	ID, Name string
	SHA256   string // of its disk
	At       time.Time

	usable, protected bool
}

// Shelf is what there is of a publication.
type Shelf struct {
	// Published are newest first.
	Published []Published

	candidates []images.Image
}

// Usable says whether a pattern finds an image: nobody has hidden or deactivated it.
func (p Published) Usable() bool { return p.usable }

// Look lists what there is.
func (p Publication) Look(ctx context.Context) (Shelf, error) {
	all, err := p.list(ctx)
	if err != nil {
		return Shelf{}, err
	}
	var shelf Shelf
	for _, image := range all {
		if slices.Contains(image.Tags, candidateTag) {
			shelf.candidates = append(shelf.candidates, image)
			continue
		}
		shelf.Published = append(shelf.Published, Published{
			ID: image.ID, Name: image.Name, SHA256: sumOf(image), At: publishedAt(image),
			usable: image.Status == images.ImageStatusActive && !image.Hidden, protected: image.Protected,
		})
	}
	return shelf, nil
}

// Current is the newest that a pattern finds. There may be none.
func (s Shelf) Current() (current Published, there bool) {
	for _, one := range s.Published {
		if one.usable {
			return one, true
		}
	}
	return Published{}, false
}

// list has all of the publication's images, newest first, in the order of NewestImage.
func (p Publication) list(ctx context.Context) (all []images.Image, err error) {
	err = p.Region.Do(ctx, Image, func(client *gophercloud.ServiceClient) error {
		project := ProjectOf(client)
		if project == "" {
			return p.Region.NewError(ErrDenied, Image, "the login is to no project, so it is not known which images are ours",
				"name a project in the cloud's source")
		}
		for _, hidden := range []bool{true, false} { // one is shown between the two rather than missed
			pages, err := images.List(client, images.ListOpts{Tags: p.Tags(), Owner: project, Hidden: hidden, Limit: 100}).AllPages(ctx)
			if err != nil {
				return err
			}
			found, err := images.ExtractImages(pages)
			if err != nil {
				return err
			}
			for _, image := range found {
				twice := slices.ContainsFunc(all, func(i images.Image) bool { return i.ID == image.ID })
				// What is removed or not is not left to how a service understands the query.
				if image.Owner == project && p.marked(image) && !twice {
					all = append(all, image)
				}
			}
		}
		return nil
	})
	slices.SortFunc(all, func(a, b images.Image) int { return compareAge(b, a) })
	return all, err
}

// compareAge is positive if a is the newer. Image services know seconds; of two that were made in the same one, the newer is the one that
// was published later.
func compareAge(a, b images.Image) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), publishedAt(a).Compare(publishedAt(b)), cmp.Compare(a.ID, b.ID))
}

// publishedAt is when an image was shown, or made if it does not say.
func publishedAt(image images.Image) time.Time {
	text, _ := image.Properties[timeProperty].(string)
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at
	}
	return image.CreatedAt
}

func (p Publication) marked(image images.Image) bool {
	for _, tag := range p.Tags() {
		if !slices.Contains(image.Tags, tag) {
			return false
		}
	}
	return image.Status != images.ImageStatusDeleted && image.Status != images.ImageStatusPendingDelete
}

func sumOf(image images.Image) string {
	text, _ := image.Properties[sumProperty].(string)
	return text
}

func (s Shelf) before(current Published) []Published {
	at := slices.IndexFunc(s.Published, func(one Published) bool { return one.ID == current.ID })
	return s.Published[at+1:]
}
