package site

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// check is one thing that must work for the site to be useful.
type check struct {
	name string
	test func(context.Context) error // why it does not work, or nil
}

// checkTime bounds all checks together.
const checkTime = 3 * time.Second

type checkAnswer struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
}

// healthz says that the process answers.
func (s *Site) healthz(w http.ResponseWriter, r *http.Request) error {
	s.writeJSON(w, r, http.StatusOK, map[string]bool{"ok": true})
	return nil
}

// readyz says whether everything that the site needs works, and what does not: 200 or 503.
func (s *Site) readyz(w http.ResponseWriter, r *http.Request) error {
	answers := s.check(r.Context())
	status := http.StatusOK
	for _, answer := range answers {
		if !answer.OK {
			status = http.StatusServiceUnavailable
		}
	}
	s.writeJSON(w, r, status, map[string]any{"ok": status == http.StatusOK, "checks": answers})
	return nil
}

// checks are all of them: the page and the machine-readable form come from this list.
func (s *Site) checks() []check {
	return []check{
		{"index", s.Index.Check},
		{"store", s.checkStore},
		{"broker", func(context.Context) error { return s.Broker() }},
	}
}

// checkStore finds out whether the store answers. It need not have anything: containers may be made later.
func (s *Site) checkStore(ctx context.Context) error {
	container := result.Container(s.Releases[0], nil, false)
	_, err := s.Store.List(ctx, container, store.Query{Limit: 1})
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDenied) {
		return nil // how stores speak of what does not exist
	}
	return err
}

// check makes all checks at the same time.
func (s *Site) check(ctx context.Context) []checkAnswer {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	checks := s.checks()
	answers := make([]checkAnswer, len(checks))
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() {
			answers[i] = checkAnswer{Name: c.name, OK: true}
			if err := c.test(ctx); err != nil {
				answers[i].OK, answers[i].Reason = false, err.Error()
			}
		})
	}
	all.Wait()
	return answers
}

// notices are what pages tell at their top: what is known to be amiss, without asking anybody.
func (s *Site) notices() []string {
	var notices []string
	state := s.Listing()
	switch {
	case state.Err != nil:
		notices = append(notices, "The result store cannot be read at the moment. New results will appear when it is back.")
	case state.Passes == 0:
		notices = append(notices, "The index is being built from the result store: "+count(int(state.Found))+
			" results so far. What is missing will appear by itself.")
	}
	if s.Broker() != nil {
		notices = append(notices, "The message broker does not answer. What runs and what waits is not known at the moment; "+
			"new results appear some minutes later than usual.")
	}
	return notices
}
