package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Check is one thing that must be right for a worker to be of use.
type Check struct {
	ID    string // one word, for programs
	Title string // for people
	Check func(context.Context) error
	Tell  func() string // what there is to say although all is well; nil for nothing
}

// Checks are the worker's: the same list serves the health listener and `autopkgtest-worker --check`.
func (w *Worker) Checks() []Check {
	return []Check{
		{ID: "broker", Title: "There is a session with the broker", Check: w.checkBroker},
		{ID: "queues", Title: "All queues are consumed", Check: w.checkQueues},
		{ID: "store", Title: "The store answers", Check: w.checkStore},
		{ID: "spool", Title: "There is room for results that wait for the store", Check: w.checkSpool, Tell: w.tellSpool},
		{ID: "run-ids", Title: "No run id in the store is far ahead of the clock", Check: w.checkAhead},
		{ID: "images", Title: "Every release and architecture has testbeds", Check: w.checkImages},
	}
}

func (w *Worker) checkBroker(context.Context) error {
	if w.broker.now() == nil {
		return errors.New("no session with the broker; the log tells why")
	}
	return nil
}

func (w *Worker) checkQueues(context.Context) error {
	select {
	case <-w.drain:
		return errors.New("draining: running tests are finished, no request is taken")
	default:
	}
	w.mu.Lock()
	session := w.consumed
	w.mu.Unlock()
	if session == nil {
		return errors.New("nothing is consumed without a session with the broker")
	}
	waiting := session.Waiting()
	var reasons []string
	for _, name := range slices.Sorted(maps.Keys(waiting)) {
		reasons = append(reasons, name+": "+waiting[name])
	}
	if len(reasons) > 0 {
		return w.unprovenOr(errors.New(strings.Join(reasons, "; ")), func(q request.Queue) bool { return waiting[q.Name()] != "" })
	}
	return nil
}

// unproven is an error that is over once the first canaries have passed: testbeds that nobody has tried yet are all of its reason.
type unproven struct{ error }

// unprovenOr makes an error about some of the queues an unproven one if it is.
func (w *Worker) unprovenOr(err error, about func(request.Queue) bool) error {
	wanted, _ := w.current()
	for _, q := range wanted.queues {
		if about(q) && !errors.Is(w.testbeds.Ready(q), testbed.ErrUnproven) {
			return err
		}
	}
	return unproven{err}
}

func (w *Worker) checkStore(ctx context.Context) error {
	if _, err := w.store.Containers(ctx); err != nil {
		return err
	}
	return nil
}

func (w *Worker) checkSpool(context.Context) error { return w.spoolRoom() }

func (w *Worker) tellSpool() string {
	results, oldest := w.spool.count()
	if results == 0 {
		return fmt.Sprintf("0 of %d results", w.spoolLimit())
	}
	return fmt.Sprintf("%d of %d results, the oldest since %s", results, w.spoolLimit(), oldest.UTC().Format(time.RFC3339))
}

func (w *Worker) checkImages(context.Context) error {
	wanted, _ := w.current()
	missing := map[string]struct{}{}
	for _, q := range wanted.queues {
		if err := w.testbeds.Ready(q); err != nil {
			missing[err.Error()] = struct{}{}
		}
	}
	if len(missing) > 0 {
		err := errors.New(strings.Join(slices.Sorted(maps.Keys(missing)), "; "))
		return w.unprovenOr(err, func(q request.Queue) bool { return w.testbeds.Ready(q) != nil })
	}
	return nil
}

// Finding is what a check found.
type Finding struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
	// Unproven says that the reason is nothing but testbeds whose first canary has not ended yet.
	Unproven bool   `json:"unproven,omitempty"`
	Told     string `json:"told,omitempty"`
}

// checkLimit bounds all checks together: whoever asks wants an answer, also when the broker or the store gives none.
const checkLimit = 5 * time.Second

// Examine runs checks side by side and tells whether all is well.
func Examine(ctx context.Context, checks []Check) (findings []Finding, ok bool) {
	ctx, cancel := context.WithTimeoutCause(ctx, checkLimit, fmt.Errorf("no answer within %s", checkLimit))
	defer cancel()
	findings = make([]Finding, len(checks))
	var running sync.WaitGroup
	for i, check := range checks {
		running.Go(func() {
			findings[i] = Finding{ID: check.ID, Title: check.Title, OK: true}
			if check.Tell != nil {
				findings[i].Told = check.Tell()
			}
			if err := check.Check(ctx); err != nil {
				findings[i].OK, findings[i].Reason = false, err.Error()
				findings[i].Unproven = errors.As(err, new(unproven))
			}
		})
	}
	running.Wait()
	return findings, !slices.ContainsFunc(findings, func(f Finding) bool { return !f.OK })
}

// Handler answers the health listener: /healthz says that the process lives, /readyz whether it is of use, with the reasons
// when it is not, both in JSON.
func Handler(checks []Check) http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"alive": true})
	})
	routes.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		findings, ok := Examine(r.Context(), checks)
		status := http.StatusOK
		if !ok {
			status = http.StatusServiceUnavailable
		}
		answer(w, status, map[string]any{"ready": ok, "checks": findings})
	})
	return routes
}

func answer(w http.ResponseWriter, status int, content any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(content) // whoever asked may have gone
}
