package openstack

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/pagination"
)

// namesShown bounds what an error lists of what there is instead.
const namesShown = 12

// CheckImagePattern says whether a pattern is a regular expression.
func CheckImagePattern(pattern string) error {
	_, err := imagePattern(pattern)
	return err
}

// MatchesImage says whether an image of that id and name is one that a pattern means.
func MatchesImage(pattern, id, name string) bool {
	if pattern == id || pattern == name {
		return true
	}
	expression, err := imagePattern(pattern)
	return err == nil && expression.MatchString(name)
}

// imagePattern matches at the begin of a name, as the pattern in worker.conf always did.
func imagePattern(pattern string) (*regexp.Regexp, error) {
	expression, err := regexp.Compile("^(?:" + pattern + ")")
	if err != nil {
		return nil, fmt.Errorf("the image pattern %q is no regular expression: %w", pattern, err)
	}
	return expression, nil
}

// imageID is the form of an image's id.
var imageID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// NewestImage is the active image that was made last of those that the pattern names: by id, by name, or by a regular expression that
// matches the begin of the name. One that is hidden is found by its id alone. Without one it is ErrNotFound, and the error says what
// there is.
func (r *Region) NewestImage(ctx context.Context, pattern string) (newest images.Image, err error) {
	if imageID.MatchString(pattern) {
		if newest, err = r.ImageByID(ctx, pattern); err == nil && newest.Status == images.ImageStatusActive {
			return newest, nil
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return images.Image{}, err
		}
	}
	find, err := r.NewestImages(ctx)
	if err != nil {
		return images.Image{}, err
	}
	return find(pattern)
}

// NewestImages lists the images once, and returns what NewestImage does for any pattern, but for the ids of hidden ones.
func (r *Region) NewestImages(ctx context.Context) (newest func(pattern string) (images.Image, error), err error) {
	all, err := List(ctx, r, Image, func(client *gophercloud.ServiceClient) pagination.Pager {
		return images.List(client, images.ListOpts{Limit: 1000})
	}, images.ExtractImages)
	if err != nil {
		return nil, err
	}
	return func(pattern string) (images.Image, error) { return r.newestOf(all, pattern) }, nil
}

// ImageByID is an image in whatever state; ErrNotFound if the project sees none.
func (r *Region) ImageByID(ctx context.Context, id string) (image images.Image, err error) {
	err = r.Do(ctx, Image, func(client *gophercloud.ServiceClient) error {
		got, err := images.Get(ctx, client, id).Extract()
		if err == nil {
			image = *got
		}
		return err
	})
	return image, err
}

func (r *Region) newestOf(all []images.Image, pattern string) (newest images.Image, err error) {
	expression, err := imagePattern(pattern)
	if err != nil {
		return newest, r.NewError(ErrInvalid, Image, err.Error(), "correct the pattern; remember that . stands for any character")
	}
	var others, unready []string
	for _, image := range all {
		matches := image.ID == pattern || image.Name == pattern || expression.MatchString(image.Name)
		switch {
		case matches && image.Status == images.ImageStatusActive:
			if newest.ID == "" || compareAge(image, newest) > 0 {
				newest = image
			}
		case matches:
			unready = append(unready, fmt.Sprintf("%s (%s)", image.Name, image.Status))
		default:
			others = append(others, image.Name)
		}
	}
	if newest.ID != "" {
		return newest, nil
	}
	cause := fmt.Sprintf("no active image matches %q", pattern)
	if len(unready) > 0 {
		cause += "; these do, and are not active: " + someOf(unready)
	}
	wayOut := "correct the pattern, or upload an image; there is none that this project can see"
	if len(others)+len(unready) > 0 {
		wayOut = "correct the pattern, or upload an image; there are " + someOf(append(others, unready...))
	}
	return newest, r.NewError(ErrNotFound, Image, cause, wayOut)
}

// someOf lists names in order, as many as one wants to read.
func someOf(names []string) string {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if len(names) <= namesShown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s, and %d more", strings.Join(names[:namesShown], ", "), len(names)-namesShown)
}
