package site

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/index"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

const packagesPerPage = 100

type packagesData struct {
	Query    string
	Packages []packageLine
	Next     string // link to the next page, or empty
}

type packageLine struct {
	Name    string
	Parts   []dayPart   // the newest results of all its tests, counted
	Failing []index.Run // of these, those that failed
}

// packagesPage lists the packages whose name contains a text.
func (s *Site) packagesPage(w http.ResponseWriter, r *http.Request) error {
	query, err := parameters(r, "q", "after")
	if err != nil {
		return err
	}
	text := strings.ToLower(strings.TrimSpace(query.Get("q"))) // as names of packages are
	if len(text) > 128 {
		return badRequest("No package has a name as long as this.")
	}
	names, err := s.Index.Packages(r.Context(), text, query.Get("after"), packagesPerPage+1)
	if err != nil {
		return err
	}
	if text != "" && query.Get("after") == "" && slices.Equal(names, []string{text}) {
		http.Redirect(w, r, s.packageLink(text), http.StatusSeeOther)
		return nil
	}
	data := packagesData{Query: text}
	if len(names) > packagesPerPage {
		names = names[:packagesPerPage]
		data.Next = s.base + "/packages?" + url.Values{"q": {text}, "after": {names[len(names)-1]}}.Encode()
	}
	newest, err := s.Index.Newest(r.Context(), names)
	if err != nil {
		return err
	}
	for _, name := range names {
		data.Packages = append(data.Packages, lineOf(name, newest[name]))
	}
	return s.render(w, r, "packages", data)
}

func lineOf(name string, runs []index.Run) packageLine {
	counts := index.Counts{}
	line := packageLine{Name: name}
	for _, run := range runs {
		counts[run.Class()]++
		if run.Class() == result.Fail {
			line.Failing = append(line.Failing, run)
		}
	}
	line.Parts = dayOf(counts).Parts
	return line
}
