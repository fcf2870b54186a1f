package provider

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/image"
)

// askLimit bounds the question to an archive: a plan does not wait for one that is silent.
const askLimit = 5 * time.Second

// planRelease refuses a release that no archive has, while nothing is begun yet. An archive that cannot be asked now may
// answer when the image is built, so that is a warning. Where nothing is to be built nobody is asked.
func planRelease(ctx context.Context, p *planning[testbedImageModel]) {
	where, asks := asksForRelease(p)
	if !asks {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	release, mirror := p.model.Release.ValueString(), p.model.Mirror.ValueString()
	err := image.CheckRelease(ctx, config.Image{
		Release: release, Architecture: p.model.Architecture.ValueString(), Mirror: mirror,
	})
	switch {
	case errors.Is(err, image.ErrRelease):
		explain(p.diags, "No such release", at(where, &problem{
			title: "There is no release " + release + " at " + describeMirror(mirror),
			detail: "Correct the name of the release, which is that of its folder below dists/ in the archive, or set mirror to " +
				"an archive that has it.",
			err: err,
		}))
	case err != nil:
		then := "The apply asks again, and fails if there is no answer then either, or no such release."
		if p.state != nil {
			then = "The image that is there stays in use, and is not renewed before the archive answers."
		}
		p.diags.AddAttributeWarning(where, "It is not known whether there is a release "+release+" at "+describeMirror(mirror),
			err.Error()+"\n\n"+then)
	}
}

// asksForRelease says whether an archive has to be asked, and which attribute an answer is about.
func asksForRelease(p *planning[testbedImageModel]) (about path.Path, asks bool) {
	switch m := p.model; {
	case m.Release.IsUnknown() || m.Architecture.IsUnknown() || m.Mirror.IsUnknown():
		return path.Path{}, false
	case p.state == nil:
		return path.Root("release"), !hasImage(p.settings, m)
	case !m.Release.Equal(p.state.Release) || !m.Architecture.Equal(p.state.Architecture):
		return path.Path{}, false // another image takes the place of this one: its creation is planned next
	}
	return path.Root("mirror"), !p.model.Mirror.Equal(p.state.Mirror)
}

// hasImage says whether an image is there that the creation takes as it is: one of a stack that is adopted, or one from
// the cache that is young enough. Its archive may have dropped the release since, which is no reason to refuse it.
func hasImage(s *settings, m *testbedImageModel) bool {
	release, architecture := m.Release.ValueString(), m.Architecture.ValueString()
	if d, err := s.open(m.path()); d != nil && err == nil {
		if _, good := goodImage(imagePath(d, release, architecture)); good {
			return true
		}
	}
	cache := m.Cache.ValueString()
	if cache == "" {
		return false
	}
	info, good := goodImage(testbed.ImagePath(cache, request.Queue{Release: release, Architecture: architecture}))
	return good && time.Since(info.Built) < durationOf(m.RefreshEvery)
}
