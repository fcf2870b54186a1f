package site

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/index"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// What is handed on to the store and back. Everything else (cookies, credentials, the store's transaction ids) stays on
// its side.
var (
	forwardedRequest  = []string{"Accept", "If-Modified-Since", "If-None-Match", "If-Range", "Range"}
	forwardedResponse = []string{
		"Accept-Ranges", "Content-Encoding", "Content-Length", "Content-Range", "Content-Type", "Etag", "Last-Modified",
	}
	forwardedQuery = []string{"delimiter", "end_marker", "format", "limit", "marker", "path", "prefix", "reverse"}
)

var (
	containerForm = regexp.MustCompile(`^[a-zA-Z0-9.+_~-]{1,200}$`)
	objectForm    = regexp.MustCompile(`^[ -~]{0,1000}$`) // printable ASCII
)

// newObjectClient returns the client for objects that are passed through.
func newObjectClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DisableCompression:    true, // an object's encoding is handed on, not undone
			MaxConnsPerHost:       128,
			MaxIdleConnsPerHost:   2,
			IdleConnTimeout:       30 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// object passes an object, or a listing, of one of our public containers through from the store. Addresses below it
// stay valid wherever the store moves.
func (s *Site) object(w http.ResponseWriter, r *http.Request) error {
	container, object := r.PathValue("container"), r.PathValue("object")
	if _, ours := index.ReleaseOf(container, s.Releases); !ours || !containerForm.MatchString(container) {
		return notFound("There is no public result container of this name.")
	}
	if !objectForm.MatchString(object) {
		return badRequest("This is not the name of an object.")
	}
	query := url.Values{}
	if object == "" || strings.HasSuffix(object, "/") {
		if loc, err := result.ParseDir(strings.TrimSuffix(object, "/")); err == nil && s.hasPage(container, loc) {
			loc.Container = container
			http.Redirect(w, r, s.runLink(loc), http.StatusFound)
			return nil
		}
		query = listing(r.URL.Query(), object)
		object = ""
	}
	target, err := url.Parse(s.StoreURL + "/" + container + "/")
	if err != nil {
		return err
	}
	target.Path += object
	target.RawQuery = query.Encode()
	return s.forward(w, r, target.String())
}

// hasPage tells whether a folder of a container is a run that has a page of its own.
func (s *Site) hasPage(container string, loc result.Location) bool {
	return container == result.Container(loc.Release, nil, false) && slices.Contains(s.Releases, loc.Release)
}

// listing chooses from a listing's query what the store may be asked. A folder's address lists what is directly in it.
func listing(asked url.Values, folder string) url.Values {
	query := url.Values{}
	for _, key := range forwardedQuery {
		if value := asked.Get(key); value != "" {
			query.Set(key, value)
		}
	}
	if folder != "" {
		query.Set("prefix", folder)
		query.Set("delimiter", "/")
	}
	return query
}

func (s *Site) forward(w http.ResponseWriter, r *http.Request, target string) error {
	request, err := http.NewRequestWithContext(r.Context(), r.Method, target, nil)
	if err != nil {
		return err
	}
	copyHeaders(request.Header, r.Header, forwardedRequest)
	answer, err := s.objects.Do(request)
	if err != nil {
		return errors.Join(store.ErrUnavailable, err)
	}
	defer func() { _ = answer.Body.Close() }() // read to its end or given up
	switch {
	case answer.StatusCode == http.StatusUnauthorized, answer.StatusCode == http.StatusForbidden,
		answer.StatusCode == http.StatusNotFound:
		return store.ErrNotFound // a store tells a stranger no more than this
	case answer.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return &userError{status: answer.StatusCode, text: "The object is not that long."}
	case answer.StatusCode >= 300 && answer.StatusCode != http.StatusNotModified:
		return &userError{status: http.StatusBadGateway, cause: errors.New("the store answers " + answer.Status),
			text: "The result store does not answer as it should. Please try again in a few minutes."}
	}
	h := w.Header()
	copyHeaders(h, answer.Header, forwardedResponse)
	h.Set("Content-Security-Policy", objectPolicy)
	w.WriteHeader(answer.StatusCode)
	if r.Method == http.MethodHead {
		return nil
	}
	if _, err := io.Copy(w, answer.Body); err != nil {
		s.Log.Debug("an object was not passed through to its end", "path", r.URL.Path, "error", err)
		panic(http.ErrAbortHandler) // the reader must notice that the object is not whole
	}
	return nil
}

func copyHeaders(to, from http.Header, names []string) {
	for _, name := range names {
		if values := from.Values(name); len(values) > 0 {
			to[name] = values
		}
	}
}
