package site

import (
	"net/url"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// Links are paths from the root of the server on. Names were checked before they came into the index, so that they need
// no escaping; templates escape once more.

func (s *Site) packageLink(pkg string) string {
	return s.base + "/packages/" + result.Prefix(pkg) + "/" + pkg
}

func (s *Site) historyLink(release, arch, pkg string) string {
	return s.packageLink(pkg) + "/" + release + "/" + arch
}

// runLink is a run's page. A run with PPAs has none; its folder in the store is linked instead.
func (s *Site) runLink(loc result.Location) string {
	if loc.Container != result.Container(loc.Release, nil, false) {
		return s.objectLink(loc, "")
	}
	return s.historyLink(loc.Release, loc.Architecture, loc.Package) + "/" + string(loc.RunID)
}

func (s *Site) logLink(loc result.Location) string { return s.runLink(loc) + "/log" }

// objectLink is an object of a run, passed through from the store.
func (s *Site) objectLink(loc result.Location, name string) string {
	return s.base + "/results/" + url.PathEscape(loc.Container) + "/" + loc.Object(name)
}

// absolute makes a full address of a link, for readers outside of a browser.
func (s *Site) absolute(link string) string {
	return s.ExternalURL + link[len(s.base):]
}
