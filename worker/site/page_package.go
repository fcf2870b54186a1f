package site

import (
	"net/http"
	"slices"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/index"
)

// stripRuns is how many runs a cell of the matrix shows.
const stripRuns = 10

type packageData struct {
	Package  string
	Releases []string
	Rows     []packageRow
	Running  []Progress
	Empty    bool
	Release  string // for the example of a request
	Arch     string
}

// packageRow is an architecture of the matrix.
type packageRow struct {
	Arch  string
	Cells []packageCell
}

type packageCell struct {
	Release string
	Arch    string
	Latest  *index.Run
	Strip   []index.Run // oldest first
}

// packagePage is a package's matrix of releases and architectures.
func (s *Site) packagePage(w http.ResponseWriter, r *http.Request, pkg string) error {
	tests, err := s.Index.Package(r.Context(), pkg, stripRuns)
	if err != nil {
		return err
	}
	data := packageData{Package: pkg, Releases: s.Releases, Empty: true, Running: s.runningOf(pkg, "", ""),
		Release: s.Releases[0], Arch: s.Architectures[0]}
	arches := slices.Clone(s.Architectures)
	byCell := map[[2]string]index.Test{}
	for _, t := range tests {
		if !slices.Contains(s.Releases, t.Release) {
			continue // a release that has been closed has no pages
		}
		byCell[[2]string{t.Release, t.Architecture}] = t
		if !slices.Contains(arches, t.Architecture) {
			arches = append(arches, t.Architecture)
		}
		data.Empty = false
	}
	for _, arch := range arches {
		row := packageRow{Arch: arch}
		for _, release := range s.Releases {
			row.Cells = append(row.Cells, cellOf(release, arch, byCell[[2]string{release, arch}].Latest))
		}
		data.Rows = append(data.Rows, row)
	}
	return s.render(w, r, "package", data)
}

// cellOf makes a cell from a test's newest runs, newest first.
func cellOf(release, arch string, runs []index.Run) packageCell {
	cell := packageCell{Release: release, Arch: arch}
	if len(runs) > 0 {
		cell.Latest = &runs[0]
		cell.Strip = slices.Clone(runs)
		slices.Reverse(cell.Strip)
	}
	return cell
}

// runningOf is what runs now of a package, on one release and architecture or, with empty words, on all.
func (s *Site) runningOf(pkg, release, arch string) []Progress {
	return slices.DeleteFunc(s.Running.List(), func(p Progress) bool {
		return p.Package != pkg || release != "" && p.Release != release || arch != "" && p.Architecture != arch
	})
}
