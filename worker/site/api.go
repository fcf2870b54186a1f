package site

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/index"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// maxRequestID bounds the id that a requester may look for.
const maxRequestID = 200

type apiResult struct {
	Release      string       `json:"release"`
	Architecture string       `json:"architecture"`
	Package      string       `json:"package"`
	RunID        string       `json:"run_id"`
	Version      string       `json:"version"`
	Triggers     []string     `json:"triggers"`
	ExitCode     int          `json:"exitcode"`
	Class        result.Class `json:"class"`
	Duration     int64        `json:"duration"` // seconds
	Requester    string       `json:"requester"`
	URL          string       `json:"url"` // the run's page
	Log          string       `json:"log"`
}

// resultsJSON answers results, newest first: those of a request, or all that the other parameters choose.
func (s *Site) resultsJSON(w http.ResponseWriter, r *http.Request) error {
	query, err := parameters(r, "request", "release", "arch", "package", "limit", "before")
	if err != nil {
		return err
	}
	limit, err := number(query, "limit", 100, 1, 1000)
	if err != nil {
		return err
	}
	before := result.RunID(query.Get("before"))
	if before != "" && !before.Valid() {
		return badRequest("The parameter before is not a run id, which looks like 20261122_012127_abcde@.")
	}
	filter := index.Filter{Release: query.Get("release"), Architecture: query.Get("arch"), Package: query.Get("package"),
		Before: before, Limit: limit}
	var runs []index.Run
	if id := query.Get("request"); id != "" {
		if len(id) > maxRequestID {
			return badRequest("The parameter request is longer than %d bytes.", maxRequestID)
		}
		runs, err = s.Index.ByRequest(r.Context(), id, filter)
	} else {
		runs, err = s.Index.Runs(r.Context(), filter)
	}
	if err != nil {
		return err
	}
	results := make([]apiResult, 0, len(runs))
	for _, run := range runs {
		results = append(results, s.apiResult(run))
	}
	s.writeJSON(w, r, http.StatusOK, map[string]any{"results": results})
	return nil
}

func (s *Site) apiResult(run index.Run) apiResult {
	return apiResult{
		Release: run.Release, Architecture: run.Architecture, Package: run.Package,
		RunID: string(run.RunID), Version: run.Version, Triggers: append([]string{}, run.Triggers...), // [] and not null
		ExitCode: run.ExitCode, Class: run.Class(), Duration: int64(run.Duration / time.Second), Requester: run.Requester,
		URL: s.absolute(s.runLink(run.Location)),
		Log: s.absolute(s.objectLink(run.Location, result.LogObject)),
	}
}

type apiQueue struct {
	Queue        string `json:"queue"`
	Context      string `json:"context"`
	Release      string `json:"release"`
	Architecture string `json:"architecture"`
	Ready        int    `json:"ready"`
	Consumers    int    `json:"consumers"`
}

// queuesJSON answers how long the queues are, or 503 when the broker does not tell.
func (s *Site) queuesJSON(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	depths, err := s.Depths.Depths(r.Context())
	if errors.Is(err, ErrNoBroker) {
		return &userError{status: http.StatusServiceUnavailable, cause: err,
			text: "The message broker does not answer, so the queues' lengths are not known at the moment."}
	}
	if err != nil {
		return err
	}
	queues := make([]apiQueue, 0, len(depths))
	for _, d := range depths {
		queues = append(queues, apiQueue{
			Queue: d.Queue.Name(), Context: string(d.Queue.Context),
			Release: d.Queue.Release, Architecture: d.Queue.Architecture, Ready: d.Ready, Consumers: d.Consumers,
		})
	}
	s.writeJSON(w, r, http.StatusOK, queues)
	return nil
}

type apiRunning struct {
	Package      string                     `json:"package"`
	Release      string                     `json:"release"`
	Architecture string                     `json:"architecture"`
	Params       map[string]json.RawMessage `json:"params"`
	Duration     int64                      `json:"duration"` // seconds
	LogTail      string                     `json:"logtail"`
	Handle       string                     `json:"handle"` // empty if the worker does not tell, as is the next
	Worker       string                     `json:"worker"`
}

// runningList answers what runs, as a list and with all that is known.
func (s *Site) runningList(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	tests := s.Running.List()
	list := make([]apiRunning, 0, len(tests))
	for _, p := range tests {
		list = append(list, apiRunning{
			Package: p.Package, Release: p.Release, Architecture: p.Architecture, Params: p.Params,
			Duration: int64(p.Duration / time.Second), LogTail: p.LogTail, Handle: p.Handle, Worker: p.Worker,
		})
	}
	s.writeJSON(w, r, http.StatusOK, list)
	return nil
}

// runningJSON is package → run hash → release → architecture → [parameters, seconds, end of the log], as Ubuntu's site has it.
// Of tests that it cannot tell apart it has the one that runs longest.
func (s *Site) runningJSON(w http.ResponseWriter, r *http.Request) error {
	type byArch map[string][3]any
	all := map[string]map[string]map[string]byArch{}
	for _, p := range s.Running.List() {
		hash := runHash(p.Params)
		if all[p.Package] == nil {
			all[p.Package] = map[string]map[string]byArch{}
		}
		if all[p.Package][hash] == nil {
			all[p.Package][hash] = map[string]byArch{}
		}
		if all[p.Package][hash][p.Release] == nil {
			all[p.Package][hash][p.Release] = byArch{}
		}
		if _, there := all[p.Package][hash][p.Release][p.Architecture]; there {
			continue
		}
		all[p.Package][hash][p.Release][p.Architecture] = [3]any{p.Params, int64(p.Duration / time.Second), p.LogTail}
	}
	s.writeJSON(w, r, http.StatusOK, all)
	return nil
}

// parameters are a request's, each at most once and none that is not known: a misspelt filter must not be taken for none.
func parameters(r *http.Request, known ...string) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("The part of the address behind the question mark cannot be read.")
	}
	left := len(query)
	for _, key := range known {
		values, there := query[key]
		if there {
			left--
		}
		if len(values) > 1 {
			return nil, badRequest("The parameter %s is there more than once.", key)
		}
		if len(values) == 1 && len(values[0]) > 1000 {
			return nil, badRequest("The parameter %s is too long.", key)
		}
	}
	if left > 0 {
		return nil, badRequest("There is an unknown parameter. Known are: %v.", known)
	}
	return query, nil
}

func number(query url.Values, key string, otherwise, least, most int) (int, error) {
	text := query.Get(key)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, badRequest("The parameter %s must be a number from %d to %d.", key, least, most)
	}
	return n, nil
}
