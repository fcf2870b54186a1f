package site

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/index"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
)

// Limits of what a run's page shows of files that may be of any length.
const (
	maxTests    = 2000
	maxPackages = 20000
)

type runData struct {
	Run          index.Run
	Older, Newer *index.Run
	Details      *runDetails // nil: the store does not tell at the moment
	Objects      []runObject
}

// runDetails is what only the store knows of a run.
type runDetails struct {
	Tests       []testLine
	Testbed     []pair
	Environment []string
	Request     string // the parameters, readable
	AllProposed bool
	Packages    []pair // installed, with their versions
}

type pair struct{ Name, Value string }

// testLine is a line of autopkgtest's summary.
type testLine struct{ Name, Status, Detail string }

// runObject is a file of a run in the store.
type runObject struct {
	Name, Purpose string
	Size          int64
}

// runPage shows one run.
func (s *Site) runPage(w http.ResponseWriter, r *http.Request, loc result.Location) error {
	run, err := s.Index.Run(r.Context(), loc)
	if err != nil {
		return err
	}
	data := runData{Run: run}
	if data.Older, data.Newer, err = s.Index.Neighbours(r.Context(), loc); err != nil {
		return err
	}
	// The store may be away or slow. What the index knows is shown then all the same.
	ctx, cancel := context.WithTimeout(r.Context(), pageTime/2)
	defer cancel()
	if data.Details, err = s.details(ctx, loc); err != nil {
		s.Log.Warn("a run's page lacks what the store knows", "release", loc.Release, "arch", loc.Architecture,
			"package", loc.Package, "run", string(loc.RunID), "error", err)
	}
	if data.Objects, err = s.objectsOf(ctx, loc); err != nil {
		data.Objects = []runObject{{result.LogObject, purposes[result.LogObject], -1}}
	}
	return s.render(w, r, "run", data)
}

func (s *Site) details(ctx context.Context, loc result.Location) (*runDetails, error) {
	body, _, err := s.Store.Get(ctx, loc.Container, loc.Object(result.TarObject))
	if err != nil {
		return nil, err
	}
	res, err := result.ReadTar(body)
	if err := errors.Join(err, body.Close()); err != nil {
		return nil, err
	}
	d := &runDetails{
		Tests:       parseSummary(res.Summary),
		Testbed:     testbed(res.TestInfo),
		Environment: res.Env,
		Packages:    parsePackages(res.TestbedPackages),
	}
	if req, err := request.Parse(res.Request); err == nil {
		d.AllProposed = req.AllProposed
		d.Request = readable(res.Request)
	}
	return d, nil
}

var purposes = map[string]string{
	result.LogObject:       "complete log",
	result.ArtifactsObject: "everything else that the run left",
	result.TarObject:       "the result for programs",
}

// objectsOf lists a run's objects, those that people want first.
func (s *Site) objectsOf(ctx context.Context, loc result.Location) ([]runObject, error) {
	entries, err := s.Store.List(ctx, loc.Container, store.Query{Prefix: loc.Dir() + "/", Limit: 50})
	if err != nil {
		return nil, err
	}
	var objects []runObject
	for _, entry := range entries {
		name := strings.TrimPrefix(entry.Name, loc.Dir()+"/")
		objects = append(objects, runObject{name, purposes[name], entry.Size})
	}
	order := []string{result.LogObject, result.ArtifactsObject, result.TarObject}
	slices.SortStableFunc(objects, func(a, b runObject) int {
		return (slices.Index(order, a.Name)+len(order))%len(order) - (slices.Index(order, b.Name)+len(order))%len(order)
	})
	return objects, nil
}

var summaryLine = regexp.MustCompile(`^(\S+)\s+([A-Z]+)\b\s*(.*)$`)

// parseSummary reads autopkgtest's summary: a test, a word and perhaps a reason per line.
func parseSummary(summary []byte) []testLine {
	var tests []testLine
	for line := range strings.Lines(string(summary)) {
		m := summaryLine.FindStringSubmatch(clean(strings.TrimRight(line, "\n")))
		if m != nil && len(tests) < maxTests {
			tests = append(tests, testLine{m[1], m[2], strings.TrimSpace(m[3])})
		}
	}
	return tests
}

// parsePackages reads lines NAME<TAB>VERSION.
func parsePackages(lines []byte) []pair {
	var packages []pair
	for line := range strings.Lines(string(lines)) {
		name, version, found := strings.Cut(clean(strings.TrimRight(line, "\n")), "\t")
		if found && len(packages) < maxPackages {
			packages = append(packages, pair{name, version})
		}
	}
	return packages
}

// testbed chooses from testinfo.json what people ask for.
func testbed(testInfo []byte) []pair {
	var info struct {
		Server string `json:"virt_server"`
		Kernel string `json:"kernel_version"`
		CPU    string `json:"cpu_model"`
		CPUs   string `json:"nproc"`
	}
	if json.Unmarshal(testInfo, &info) != nil {
		return nil
	}
	processor := info.CPU
	if info.CPUs != "" {
		processor = strings.TrimPrefix(info.CPUs+" × "+info.CPU, " × ")
	}
	var pairs []pair
	for _, p := range []pair{
		{"Virtualization", strings.TrimPrefix(info.Server, "autopkgtest-virt-")},
		{"Kernel", info.Kernel},
		{"Processors", processor},
	} {
		if p.Value != "" {
			pairs = append(pairs, pair{p.Name, clean(p.Value)})
		}
	}
	return pairs
}

// readable is a request's parameters on lines of their own.
func readable(body []byte) string {
	_, parameters, _ := strings.Cut(string(body), "\n")
	var value any
	if json.Unmarshal([]byte(parameters), &value) != nil {
		return parameters
	}
	content, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return parameters
	}
	return string(content)
}

// Began is about when the run began: its publication less its duration.
func (d runData) Began() time.Time { return published(d.Run).Add(-d.Run.Duration) }
