package site

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/index"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

const historyPerPage = 50

type historyData struct {
	Package, Release, Arch string

	Running []Progress
	Runs    []index.Run
	Streak  index.Streak
	First   bool   // this is the newest page
	Older   string // link to the next page, or empty
	Waiting int    // requests in the queues of this release and architecture; -1: not known
}

// historyPage lists the runs of a package on a release and architecture, newest first.
func (s *Site) historyPage(w http.ResponseWriter, r *http.Request, v view) error {
	query, err := parameters(r, "before")
	if err != nil {
		return err
	}
	before := result.RunID(query.Get("before"))
	if before != "" && !before.Valid() {
		return badRequest("The parameter before is not a run id, which looks like 20261122_012127_abcde@.")
	}
	runs, err := s.Index.Runs(r.Context(), index.Filter{Release: v.release, Architecture: v.arch, Package: v.pkg,
		Before: before, Limit: historyPerPage + 1})
	if err != nil {
		return err
	}
	if len(runs) == 0 && before == "" && !slices.Contains(s.Architectures, v.arch) {
		return notFound("%s is not an architecture of this site.", v.arch)
	}
	streak, err := s.Index.Streak(r.Context(), v.release, v.arch, v.pkg)
	if err != nil {
		return err
	}
	data := historyData{Package: v.pkg, Release: v.release, Arch: v.arch, Runs: runs, Streak: streak, First: before == "",
		Running: s.runningOf(v.pkg, v.release, v.arch), Waiting: s.waiting(r, v.release, v.arch)}
	if len(runs) > historyPerPage {
		data.Runs = runs[:historyPerPage]
		data.Older = s.historyLink(v.release, v.arch, v.pkg) + "?" +
			url.Values{"before": {string(data.Runs[historyPerPage-1].RunID)}}.Encode()
	}
	return s.render(w, r, "history", data)
}

// waiting is how many requests wait for a release and architecture, whatever their context; -1 when it is not known.
func (s *Site) waiting(r *http.Request, release, arch string) int {
	table := s.queues(r.Context())
	for _, row := range table.Rows {
		if row.Release == release && row.Arch == arch {
			return row.Waiting
		}
	}
	return -1
}
