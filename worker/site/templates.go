package site

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"mime"
	"net/http"
	"path"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/index"
)

// assets are the templates (*.html) and the files that browsers fetch (everything else).
//
//go:embed assets
var assets embed.FS

// pageNames are the templates that stand for a page each; layout.html frames them, parts.html is shared.
var pageNames = []string{"start", "packages", "package", "history", "run", "log", "running", "error"}

func parseTemplates(s *Site) (map[string]*template.Template, error) {
	styles, err := assets.ReadFile("assets/style.css")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(styles)
	functions := template.FuncMap{
		"ago":         func(t time.Time) string { return ago(s.Now(), t) },
		"stamp":       stamp,
		"exact":       exact,
		"iso":         func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"span":        span,
		"count":       count,
		"size":        size,
		"published":   published,
		"link":        func(path string) string { return s.base + path },
		"packageLink": s.packageLink,
		"historyLink": s.historyLink,
		"runLink":     s.runLink,
		"logLink":     s.logLink,
		"objectLink":  s.objectLink,
		"isPackage":   packageForm.MatchString,
		"styleHash":   func() string { return hex.EncodeToString(sum[:6]) },
		"meaning":     meaning,
	}
	layout, err := template.New("layout").Funcs(functions).ParseFS(assets, "assets/layout.html", "assets/parts.html")
	if err != nil {
		return nil, fmt.Errorf("parse the templates: %w", err)
	}
	pages := map[string]*template.Template{}
	for _, name := range pageNames {
		page, err := layout.Clone()
		if err == nil {
			page, err = page.ParseFS(assets, "assets/"+name+".html")
		}
		if err != nil {
			return nil, fmt.Errorf("parse the template of page %s: %w", name, err)
		}
		pages[name] = page
	}
	return pages, nil
}

// published is when a run's result appeared.
func published(run index.Run) time.Time {
	t, _ := run.RunID.Time() // ids in the index have one
	return t
}

// meaning explains an exit code in a few words.
func meaning(exit int) string {
	switch exit {
	case 0:
		return "all tests passed"
	case 2:
		return "tests passed, some were skipped or flaky"
	case 4:
		return "a test failed"
	case 6:
		return "a test failed, and some were skipped"
	case 8:
		return "no tests, or all of them were skipped"
	case 12:
		return "the package is erroneous"
	case 14:
		return "the package is erroneous, and some tests were skipped"
	case 16:
		return "the testbed failed; says nothing about the package"
	case 20:
		return "autopkgtest could not run the test"
	case 99:
		return "never run: not supported here"
	}
	return "unexpected exit of autopkgtest"
}

// page is what every template gets.
type page struct {
	Name    string // of the template, for the navigation
	Search  string // what the search box holds
	Refresh int    // seconds until the page loads itself again; 0: never
	Now     time.Time
	Notices []string // what the site does not know at the moment
	Data    any
}

func (s *Site) render(w http.ResponseWriter, r *http.Request, name string, data any) error {
	return s.renderStatus(w, r, http.StatusOK, name, data)
}

// renderStatus renders a page completely before it sends the first byte, so that an error still becomes an error page.
func (s *Site) renderStatus(w http.ResponseWriter, r *http.Request, status int, name string, data any) error {
	p := page{Name: name, Now: s.Now(), Data: data, Notices: s.notices()}
	if name == "packages" {
		p.Search = r.URL.Query().Get("q")
	}
	if name == "running" && r.URL.Query().Get("refresh") != "off" {
		p.Refresh = 20
	}
	var out bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&out, "layout.html", p); err != nil {
		return fmt.Errorf("render page %s: %w", name, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	w.WriteHeader(status)
	if _, err := out.WriteTo(w); err != nil {
		s.Log.Debug("the reader left", "path", r.URL.Path, "error", err)
	}
	return nil
}

// asset answers a file that pages refer to. Its address carries a hash, so it may be kept.
func (s *Site) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	content, err := assets.ReadFile("assets/" + name)
	if err != nil || path.Ext(name) == ".html" {
		s.errorPage(w, r, notFound("There is no such file."))
		return
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	w.Header().Set("Cache-Control", "public, max-age=86400")
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
}

func robots(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	// Logs and artifacts are huge and there are very many: not for crawlers.
	_, _ = w.Write([]byte("User-agent: *\nDisallow: /results/\nDisallow: /api/\nDisallow: /*/log\n"))
}
