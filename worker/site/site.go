// Package site is the results website: pages for people, JSON for programs, and a way to the objects in the store.
//
// It reads the index, the store and what the broker said last, and changes none of them. All that it shows came from
// outside (logs, names, messages of workers), so all of it is checked, bounded and escaped. There are no cookies, no
// sessions and no client-side code. Without the broker the site still answers, and says what it does not know.
//
// All routes are in routes.go; a page is a file page_*.go with a template of the same name in assets/. Start there.
package site

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/index"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// Config is what a site is made of. All fields are needed except where it says otherwise.
type Config struct {
	Index         *index.Index
	Store         store.Store // for what a page shows of a run
	StoreURL      string      // public base above the containers, for the objects that are passed through
	Releases      []string
	Architectures []string
	ExternalURL   string // how people reach the site
	Running       *Running
	Depths        Depths
	Listing       func() index.State // how the listing of the store goes
	Broker        func() error       // why there is no connection to the broker; nil: there is one
	Log           *slog.Logger
	Now           func() time.Time // nil: the clock
}

// Depths tells how long the request queues are.
type Depths interface {
	// Depths lists the queues that exist. It is called for each page that shows them, so it must be cheap. An error
	// means that nothing is known.
	Depths(ctx context.Context) ([]Depth, error)
}

// Site answers the requests of browsers and programs.
type Site struct {
	Config

	base    string // path of ExternalURL: links begin with it
	pages   map[string]*template.Template
	objects *http.Client
	logs    chan struct{} // a token per log that may be rendered at the same time
	handler http.Handler
}

// New makes a site.
func New(c Config) (*Site, error) {
	if len(c.Releases) == 0 || len(c.Architectures) == 0 {
		return nil, errors.New("a site needs releases and architectures")
	}
	external, err := url.Parse(c.ExternalURL)
	if err != nil {
		return nil, fmt.Errorf("the site's external URL: %w", err)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.ExternalURL = strings.TrimRight(c.ExternalURL, "/")
	c.StoreURL = strings.TrimRight(c.StoreURL, "/")
	s := &Site{
		Config:  c,
		base:    strings.TrimRight(external.Path, "/"),
		objects: newObjectClient(),
		logs:    make(chan struct{}, 4),
	}
	if s.pages, err = parseTemplates(s); err != nil {
		return nil, err
	}
	s.handler = s.routes()
	return s, nil
}

// ServeHTTP answers one request.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }
