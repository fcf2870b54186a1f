package site

import (
	"net/http"
	"time"
)

// How long an answer may take: a page, and an object of the store, whose reader may be slow.
const (
	pageTime   = 20 * time.Second
	objectTime = time.Hour
)

// routes lists every address of the site.
func (s *Site) routes() http.Handler {
	mux := http.NewServeMux()
	page := func(pattern string, h handler) { mux.Handle(pattern, s.limited(pageTime, s.html(h))) }
	data := func(pattern string, h handler) { mux.Handle(pattern, s.limited(pageTime, s.json(h))) }

	page("GET /{$}", s.startPage)
	page("GET /packages", s.packagesPage)
	page("GET /packages/{path...}", s.packagePages) // package, history, run, log: see path.go
	page("GET /running", s.runningPage)
	page("GET /running.shtml", s.moved("/running"))
	mux.Handle("GET /results/{container}/{object...}", s.limited(objectTime, s.html(s.object)))

	data("GET /static/running.json", s.runningJSON)
	data("GET /api/v1/results", s.resultsJSON)
	data("GET /api/v1/queues", s.queuesJSON)
	data("GET /api/v1/running", s.runningList)
	data("GET /healthz", s.healthz)
	data("GET /readyz", s.readyz)

	mux.Handle("GET /static/{file}", http.HandlerFunc(s.asset))
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /robots.txt", robots)
	page("GET /", s.nothingHere)

	return chain(mux, s.logRequests, s.recoverPanics, secureHeaders)
}
