package site

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// The parts of a path. Limits of length keep them useful; the forms are those of the contract.
var (
	packageForm = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.+-]{0,127}$`)
	wordForm    = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._+]{0,63}$`)
)

// view is which page below /packages/ an address means. What is empty was not in it.
type view struct {
	pkg           string
	release, arch string
	runID         result.RunID
	log           bool
}

// parsePath reads the part of an address behind /packages/:
//
//	[PREFIX/]PACKAGE[/RELEASE/ARCH[/RUNID[/log]]]
//
// PREFIX is optional everywhere, which the number of parts and the @ at a run id's end make unambiguous.
func parsePath(path string) (v view, ok bool) {
	parts := strings.Split(path, "/")
	if len(parts) > 6 {
		return view{}, false
	}
	if last := len(parts) - 1; last >= 1 && parts[last] == "log" && strings.HasSuffix(parts[last-1], "@") {
		v.log, parts = true, parts[:last]
	}
	if last := len(parts) - 1; strings.HasSuffix(parts[last], "@") {
		v.runID, parts = result.RunID(parts[last]), parts[:last]
		if !v.runID.Valid() {
			return view{}, false
		}
	}
	// What is left is [PREFIX/]PACKAGE or [PREFIX/]PACKAGE/RELEASE/ARCH.
	if len(parts) >= 3 {
		v.release, v.arch = parts[len(parts)-2], parts[len(parts)-1]
		parts = parts[:len(parts)-2]
		if !wordForm.MatchString(v.release) || !wordForm.MatchString(v.arch) {
			return view{}, false
		}
	}
	if len(parts) == 2 {
		if parts[0] != result.Prefix(parts[1]) {
			return view{}, false
		}
		parts = parts[1:]
	}
	if len(parts) != 1 || !packageForm.MatchString(parts[0]) || v.runID != "" && v.release == "" {
		return view{}, false
	}
	v.pkg = parts[0]
	return v, true
}

// location is where the run of a view lies.
func (v view) location() result.Location {
	return result.Location{
		Container: result.Container(v.release, nil, false),
		Release:   v.release, Architecture: v.arch, Package: v.pkg, RunID: v.runID,
	}
}

// packagePages chooses the page below /packages/.
func (s *Site) packagePages(w http.ResponseWriter, r *http.Request) error {
	path := r.PathValue("path")
	if trimmed := strings.TrimRight(path, "/"); trimmed != path || path == "" {
		return s.moved(strings.TrimRight("/packages/"+trimmed, "/"))(w, r)
	}
	v, ok := parsePath(path)
	switch {
	case !ok:
		return notFound("There is no such page. Addresses look like /packages/g/gzip or /packages/g/gzip/RELEASE/ARCHITECTURE.")
	case v.release == "":
		return s.packagePage(w, r, v.pkg)
	case !slices.Contains(s.Releases, v.release):
		return notFound("%s is not a release of this site. It has: %s.", v.release, strings.Join(s.Releases, ", "))
	case v.runID == "":
		return s.historyPage(w, r, v)
	case v.log:
		return s.logPage(w, r, v.location())
	}
	return s.runPage(w, r, v.location())
}
