package site

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
)

// stillRunning is how long a test is believed to run after its last status message; they come every 10 seconds. A worker
// that died sends no last word, and its tests must not stay for ever.
const stillRunning = time.Minute

// maxRunning bounds what messages can make us remember.
const maxRunning = 10000

// Bounds of what is kept of one message.
const (
	maxParams = 64 << 10
	maxTail   = 8 << 10
)

// Progress is what a status message said about a test that runs.
type Progress struct {
	Release      string
	Architecture string
	Package      string
	Params       map[string]json.RawMessage // the request's, as it came
	Duration     time.Duration              // so far
	LogTail      string
	Handle       string // by which an operator ends it; empty if its worker does not tell
	Worker       string // who runs it; empty if it does not tell
}

// Running is the list of running tests, made of status messages. Its methods may be called from any goroutine.
type Running struct {
	now func() time.Time

	mu    sync.Mutex
	tests map[runningKey]runningTest
	swept time.Time // when expire last looked
}

// runningKey tells tests apart. The first four are all that the upstream worker tells; with the handle, equal requests and
// private ones, of which nothing else is told, are not taken for each other.
type runningKey struct{ pkg, hash, release, arch, handle string }

type runningTest struct {
	Progress
	seen time.Time
}

// NewRunning returns an empty list. now is the clock.
func NewRunning(now func() time.Time) *Running {
	return &Running{now: now, tests: map[runningKey]runningTest{}}
}

// Update takes a message in. It answers why it does not believe one.
func (r *Running) Update(status queue.Status) error {
	p, err := progressOf(status)
	if err != nil {
		return err
	}
	key := runningKey{p.Package, runHash(p.Params), p.Release, p.Architecture, p.Handle}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire()
	if !status.Running {
		delete(r.tests, key)
		return nil
	}
	if _, known := r.tests[key]; !known && len(r.tests) >= maxRunning {
		return fmt.Errorf("%d tests run already: this one is not listed", len(r.tests))
	}
	r.tests[key] = runningTest{p, r.now()}
	return nil
}

func progressOf(status queue.Status) (Progress, error) {
	switch {
	case !packageForm.MatchString(status.Package), !wordForm.MatchString(status.Release),
		!wordForm.MatchString(status.Architecture):
		return Progress{}, fmt.Errorf("no test: %.80q on %.80q %.80q", status.Package, status.Release, status.Architecture)
	case len(status.Params) > maxParams:
		return Progress{}, fmt.Errorf("%d bytes of parameters", len(status.Params))
	}
	p := Progress{Release: status.Release, Architecture: status.Architecture, Package: status.Package,
		Duration: time.Duration(max(status.Duration, 0)) * time.Second}
	if len(status.Params) > 0 {
		if err := json.Unmarshal(status.Params, &p.Params); err != nil {
			return Progress{}, fmt.Errorf("the parameters are no JSON object: %w", err)
		}
	}
	// Headers, which anybody who may send a status message sets: what has not the form of a name is as good as none.
	if queue.ValidHandle(status.Handle) {
		p.Handle = status.Handle
	}
	if wordForm.MatchString(strings.ReplaceAll(status.Worker, "-", "")) {
		p.Worker = status.Worker
	}
	tail := status.LogTail[max(0, len(status.LogTail)-maxTail):]
	var lines []string
	for line := range strings.Lines(tail) {
		lines = append(lines, clean(strings.TrimRight(line, "\r\n")))
	}
	p.LogTail = strings.Join(lines, "\n")
	return p, nil
}

// List is the tests that run now, by package, release and architecture.
func (r *Running) List() []Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire()
	list := make([]Progress, 0, len(r.tests))
	for _, t := range r.tests {
		list = append(list, t.Progress)
	}
	slices.SortFunc(list, func(a, b Progress) int {
		return cmp.Or(cmp.Compare(a.Package, b.Package), cmp.Compare(a.Release, b.Release),
			cmp.Compare(a.Architecture, b.Architecture), cmp.Compare(b.Duration, a.Duration), cmp.Compare(a.Handle, b.Handle))
	})
	return list
}

// expire forgets the tests of which nothing was heard. The lock is held.
func (r *Running) expire() {
	now := r.now()
	if now.Sub(r.swept) < time.Second {
		return // with each of a thousand messages a second it would be too much
	}
	r.swept = now
	oldest := now.Add(-stillRunning)
	for key, test := range r.tests {
		if test.seen.Before(oldest) {
			delete(r.tests, key)
		}
	}
}

// Triggers are what caused the test.
func (p Progress) Triggers() []string {
	var triggers []string
	_ = json.Unmarshal(p.Params["triggers"], &triggers) // what is no list of texts is none
	return triggers
}

// Requester is who asked for it, if anybody is named.
func (p Progress) Requester() string {
	var name string
	_ = json.Unmarshal(p.Params["requester"], &name) // what is no text is none
	return name
}
