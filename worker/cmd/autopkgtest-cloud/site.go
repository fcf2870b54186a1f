package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// errSite: the results site does not answer, or not as one of ours.
var errSite = errors.New("the results site")

// temporary marks what may be different in a moment.
type temporary struct{ err error }

func (t *temporary) Error() string { return t.err.Error() }

func (t *temporary) Unwrap() error { return t.err }

// notThere marks an address that the site does not have.
type notThere struct{ err error }

func (n *notThere) Error() string { return n.err.Error() }

func (n *notThere) Unwrap() error { return n.err }

// site asks the results site.
type site struct {
	base   string
	client http.Client
}

const (
	siteTimeout = 30 * time.Second
	maxAnswer   = 64 << 20
)

func newSite(base string) *site {
	return &site{base: base, client: http.Client{Timeout: siteTimeout}}
}

// siteResult is a result as the site tells it.
type siteResult struct {
	Release      string   `json:"release"`
	Architecture string   `json:"architecture"`
	Package      string   `json:"package"`
	RunID        string   `json:"run_id"`
	Version      string   `json:"version"`
	Triggers     []string `json:"triggers"`
	ExitCode     int      `json:"exitcode"`
	Class        string   `json:"class"`
	Duration     int64    `json:"duration"` // seconds
	Requester    string   `json:"requester"`
	URL          string   `json:"url"`
	Log          string   `json:"log"`
}

// results asks for results, newest first.
func (s *site) results(ctx context.Context, query url.Values) ([]siteResult, error) {
	var answer struct {
		Results []siteResult `json:"results"`
	}
	err := s.get(ctx, "/api/v1/results", query, &answer)
	return answer.Results, err
}

// siteQueue is a request queue as the site tells it.
type siteQueue struct {
	Queue        string `json:"queue"`
	Context      string `json:"context"`
	Release      string `json:"release"`
	Architecture string `json:"architecture"`
	Ready        int    `json:"ready"`
	Consumers    int    `json:"consumers"`
}

func (s *site) queues(ctx context.Context) ([]siteQueue, error) {
	var answer []siteQueue
	err := s.get(ctx, "/api/v1/queues", nil, &answer)
	return answer, err
}

// siteRun is a test that runs now.
type siteRun struct {
	Package      string                     `json:"package"`
	Release      string                     `json:"release"`
	Architecture string                     `json:"architecture"`
	Params       map[string]json.RawMessage `json:"params"`
	Duration     int64                      `json:"duration"` // seconds
	LogTail      string                     `json:"logtail"`
	Handle       string                     `json:"handle"` // for cancel and requeue; empty if the worker does not tell
	Worker       string                     `json:"worker"`
}

// text is a parameter that is a string, or empty.
func (r siteRun) text(key string) string {
	var value string
	_ = json.Unmarshal(r.Params[key], &value) // what is no string is none
	return value
}

// list is a parameter that is a list, or nothing.
func (r siteRun) list(key string) []string {
	var values []string
	_ = json.Unmarshal(r.Params[key], &values) // what is no list is none
	return values
}

// tailMark begins the line that stands between the first and the last lines of a log's tail.
const tailMark = "[... 🠉 HEAD"

// lastLine is the last line of the log that has something on it. A log that has just begun has none.
func (r siteRun) lastLine() string {
	lines := strings.Split(strings.TrimRight(r.LogTail, " \t\r\n"), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); !strings.HasPrefix(last, tailMark) {
		return last
	}
	return ""
}

// running asks what runs.
func (s *site) running(ctx context.Context) ([]siteRun, error) {
	runs := []siteRun{}
	err := s.get(ctx, "/api/v1/running", nil, &runs)
	if missing := new(notThere); errors.As(err, &missing) {
		return s.runningElsewhere(ctx)
	}
	return runs, err
}

// runningElsewhere asks a site that is not ours. It flattens package → hash → release → architecture → [parameters, seconds,
// end of the log]; handles are not among it.
func (s *site) runningElsewhere(ctx context.Context) ([]siteRun, error) {
	var answer map[string]map[string]map[string]map[string][]json.RawMessage
	if err := s.get(ctx, "/static/running.json", nil, &answer); err != nil {
		return nil, err
	}
	runs := []siteRun{}
	for pkg, hashes := range answer {
		for _, releases := range hashes {
			for release, architectures := range releases {
				for architecture, values := range architectures {
					run := siteRun{Package: pkg, Release: release, Architecture: architecture}
					if err := run.fill(values); err != nil {
						return nil, fmt.Errorf("%w at %s: running.json: %s on %s %s: %w",
							errSite, s.base, pkg, release, architecture, err)
					}
					runs = append(runs, run)
				}
			}
		}
	}
	slices.SortFunc(runs, func(a, b siteRun) int {
		return cmp.Or(cmp.Compare(a.Package, b.Package), cmp.Compare(a.Release, b.Release),
			cmp.Compare(a.Architecture, b.Architecture), cmp.Compare(b.Duration, a.Duration))
	})
	return runs, nil
}

func (r *siteRun) fill(values []json.RawMessage) error {
	if len(values) != 3 {
		return fmt.Errorf("%d values, want parameters, seconds and the end of the log", len(values))
	}
	return errors.Join(json.Unmarshal(values[0], &r.Params), json.Unmarshal(values[1], &r.Duration),
		json.Unmarshal(values[2], &r.LogTail))
}

func (s *site) get(ctx context.Context, path string, query url.Values, answer any) error {
	address := s.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("%w at %s: %w", errSite, s.base, err)
	}
	r.Header.Set("Accept", "application/json")
	response, err := s.client.Do(r)
	if err != nil {
		return &temporary{fmt.Errorf("%w does not answer: %w", errSite, err)}
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return &temporary{fmt.Errorf("%w: read %s: %w", errSite, address, err)}
	}
	if response.StatusCode != http.StatusOK {
		err := fmt.Errorf("%w answers %s with %s%s", errSite, address, response.Status, reason(content))
		if response.StatusCode == http.StatusBadRequest {
			return &usageError{err} // what was asked for came from the command line
		}
		if response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests {
			return &temporary{err}
		}
		if response.StatusCode == http.StatusNotFound {
			return &notThere{err}
		}
		return err
	}
	if err := json.Unmarshal(content, answer); err != nil {
		return fmt.Errorf("%w: what %s answers is not what a results site says (is [web] url right?): %w", errSite, address, err)
	}
	return nil
}

// reason is what a site of ours says about an error.
func reason(content []byte) string {
	var answer struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(content, &answer) != nil || answer.Error == "" {
		return ""
	}
	return ": " + clean(answer.Error)
}
