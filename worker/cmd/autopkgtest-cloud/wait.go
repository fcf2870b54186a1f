package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// pollEvery is how often the site is asked while a test is waited for.
const pollEvery = 2 * time.Second

// watch is a request that is waited for.
type watch struct {
	ticket
	state  string // one line of what is known
	line   string // last line of its log
	result *siteResult
}

func (w *watch) name() string {
	return fmt.Sprintf("%s %s/%s", w.request.Package, w.queue.Release, w.queue.Architecture)
}

// requestAndWait publishes, and follows the requests until all have results.
func (a *app) requestAndWait(ctx context.Context, tickets []ticket, timeout time.Duration) error {
	s, err := a.site()
	if err != nil {
		return err
	}
	watches := make([]*watch, len(tickets))
	for i, t := range tickets {
		if t.request.Private() {
			return usage("--wait cannot see private results: the site does not show them")
		}
		watches[i] = &watch{ticket: t, state: "sent"}
	}
	// Ask once before anything is sent: waiting for a site that is not there is a mistake to tell now.
	if _, err := s.results(ctx, url.Values{"request": {tickets[0].request.ID}}); err != nil {
		return err
	}
	if err := a.publish(ctx, tickets); err != nil {
		return err
	}
	view := a.progress()
	err = a.follow(ctx, s, watches, timeout, view)
	view.end()
	if err != nil {
		return err
	}
	return a.finish(watches)
}

// follow polls until every request has a result.
func (a *app) follow(ctx context.Context, s *site, watches []*watch, timeout time.Duration, view progress) error {
	deadline := a.now().Add(timeout)
	for {
		open, err := s.look(ctx, watches)
		view.show(watches)
		var passing *temporary
		switch {
		case ctx.Err() != nil:
			return interrupted(ctx.Err(), watches)
		case errors.As(err, &passing):
			view.note(err.Error())
		case err != nil:
			return err
		case open == 0:
			return nil
		}
		if a.now().After(deadline) {
			first := firstOpen(watches)
			return fmt.Errorf("%w: no result after %s for %d of %d requests, first %s: %s. They stay where they are; %s",
				errWaited, timeout, open, len(watches), first.name(), first.state, later(first))
		}
		if err := a.pause(ctx, pollEvery); err != nil {
			return interrupted(err, watches)
		}
	}
}

func interrupted(cause error, watches []*watch) error {
	return fmt.Errorf("interrupted (%w): what was requested stays requested; %s", cause, later(firstOpen(watches)))
}

func later(w *watch) string {
	return "look later with: autopkgtest-cloud results --request " + w.request.ID
}

func firstOpen(watches []*watch) *watch {
	for _, w := range watches {
		if w.result == nil {
			return w
		}
	}
	return watches[0]
}

// look asks the site about all requests that have no result yet, and counts them.
func (s *site) look(ctx context.Context, watches []*watch) (open int, err error) {
	for _, w := range watches {
		if w.result != nil {
			continue
		}
		results, err := s.results(ctx, url.Values{"request": {w.request.ID}})
		if err != nil {
			return len(watches), err
		}
		if len(results) > 0 {
			w.result, w.state, w.line = &results[0], "stored", ""
			continue
		}
		open++
	}
	if open == 0 {
		return 0, nil
	}
	return open, s.lookAtRunning(ctx, watches)
}

// lookAtRunning fills the states of requests that have no result.
func (s *site) lookAtRunning(ctx context.Context, watches []*watch) error {
	runs, err := s.running(ctx)
	if err != nil {
		return err
	}
	byID := map[string]siteRun{}
	for _, run := range runs {
		if id := run.text("request-id"); id != "" {
			byID[id] = run
		}
	}
	queues := map[string]siteQueue{}
	for _, w := range watches {
		if w.result != nil {
			continue
		}
		if run, found := byID[w.request.ID]; found {
			w.state = "running " + span(time.Duration(run.Duration)*time.Second)
			w.line = clean(run.lastLine())
			continue
		}
		if len(queues) == 0 {
			list, err := s.queues(ctx)
			if err != nil {
				return err
			}
			for _, q := range list {
				queues[q.Queue] = q
			}
		}
		w.state, w.line = waiting(queues[w.queue.Name()]), ""
	}
	return nil
}

// waiting says what a queue's numbers mean for a request that does not run yet.
func waiting(q siteQueue) string {
	switch {
	case q.Queue == "":
		return "queued"
	case q.Ready == 0:
		return "taken by a worker"
	}
	text := fmt.Sprintf("queued, %d requests wait", q.Ready)
	if q.Ready == 1 {
		text = "queued, 1 request waits"
	}
	if q.Consumers == 0 { // they are all busy, or there is none
		text += ", no worker is free"
	}
	return text
}

// finish prints the results, and makes autopkgtest's exit code ours.
func (a *app) finish(watches []*watch) error {
	results := []siteResult{}
	code := 0
	for _, w := range watches {
		results = append(results, *w.result)
		if code == 0 {
			code = w.result.ExitCode
		}
	}
	var err error
	if a.json {
		err = a.printJSON(map[string]any{"results": results})
	} else {
		for _, r := range results {
			fmt.Fprintf(a.out, "%s: %s %s on %s/%s with exit code %d after %s\n  %s\n  %s\n", clean(r.Class), clean(r.Package),
				clean(r.Version), clean(r.Release), clean(r.Architecture), r.ExitCode,
				span(time.Duration(r.Duration)*time.Second), clean(r.URL), clean(r.Log))
		}
	}
	if err != nil || code == 0 {
		return err
	}
	if code < 0 || code > 255 {
		code = 1 // a signal; a process cannot end with it
	}
	return &testOutcome{code}
}
