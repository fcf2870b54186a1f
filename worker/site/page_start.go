package site

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/index"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

const (
	startRuns    = 20
	startRunning = 6
)

type startData struct {
	Recent  []index.Run
	Running []Progress // the first few
	More    int        // running tests that are not among them
	Deaf    bool       // whether tests run is not known
	Queues  queueTable
	Day     dayData
	Release string // for the example of a request
	Arch    string
}

// dayData is what became of the results of the last 24 hours.
type dayData struct {
	Total int
	Parts []dayPart // those that are not zero
}

type dayPart struct {
	Class   result.Class
	Count   int
	From    float64 // percent, where it begins in a bar of all
	Percent float64
}

// RunningTotal is how many tests run.
func (d startData) RunningTotal() int { return len(d.Running) + d.More }

func (s *Site) startPage(w http.ResponseWriter, r *http.Request) error {
	recent, err := s.Index.Runs(r.Context(), index.Filter{Limit: startRuns})
	if err != nil {
		return err
	}
	counts, err := s.Index.CountSince(r.Context(), s.Now().Add(-24*time.Hour))
	if err != nil {
		return err
	}
	data := startData{Recent: recent, Running: s.Running.List(), Day: dayOf(counts),
		Queues: s.queues(r.Context()), Release: s.Releases[0], Arch: s.Architectures[0]}
	data.Deaf = len(data.Running) == 0 && s.Broker() != nil
	if len(data.Running) > startRunning {
		data.More = len(data.Running) - startRunning
		data.Running = data.Running[:startRunning]
	}
	return s.render(w, r, "start", data)
}

func dayOf(counts index.Counts) dayData {
	var day dayData
	for _, n := range counts {
		day.Total += n
	}
	from := 0.0
	for _, class := range result.Classes {
		if n := counts[class]; n > 0 {
			percent := 100 * float64(n) / float64(day.Total)
			day.Parts = append(day.Parts, dayPart{class, n, from, percent})
			from += percent
		}
	}
	return day
}

// queueTable is the length of all queues, a row per release and architecture, a column per context.
type queueTable struct {
	Known    bool     // false: the broker does not tell
	Contexts []string // as people know them
	Rows     []queueRow
	Total    int
}

type queueRow struct {
	Release, Arch string
	Cells         []queueCell
	Waiting       int
	Idle          bool // nobody listens to any of its queues, and nothing of it runs: a busy worker does not listen, it asks
}

type queueCell struct {
	Exists bool
	Ready  int
}

func (s *Site) queues(ctx context.Context) queueTable {
	depths, err := s.Depths.Depths(ctx)
	if err != nil {
		if !errors.Is(err, ErrNoBroker) {
			s.Log.Warn("the queues' lengths are not known", "error", err)
		}
		return queueTable{}
	}
	table := queueTableOf(depths)
	for _, p := range s.Running.List() {
		table.busy(p.Release, p.Architecture)
	}
	return table
}

// busy notes that a test of a release and architecture runs.
func (t *queueTable) busy(release, arch string) {
	for i := range t.Rows {
		if row := &t.Rows[i]; row.Release == release && row.Arch == arch {
			row.Idle = false
		}
	}
}

// queueTableOf arranges depths, which are ordered by release and architecture.
func queueTableOf(depths []Depth) queueTable {
	table := queueTable{Known: true}
	for _, c := range request.Contexts {
		table.Contexts = append(table.Contexts, contextName(c))
	}
	for _, d := range depths {
		last := len(table.Rows) - 1
		if last < 0 || table.Rows[last].Release != d.Queue.Release || table.Rows[last].Arch != d.Queue.Architecture {
			table.Rows = append(table.Rows, queueRow{Release: d.Queue.Release, Arch: d.Queue.Architecture,
				Cells: make([]queueCell, len(request.Contexts)), Idle: true})
			last++
		}
		row := &table.Rows[last]
		for i, c := range request.Contexts {
			if c == d.Queue.Context {
				row.Cells[i] = queueCell{Exists: true, Ready: d.Ready}
			}
		}
		row.Waiting += d.Ready
		row.Idle = row.Idle && d.Consumers == 0
		table.Total += d.Ready
	}
	return table
}

// contextName is what people call a context.
func contextName(c request.Context) string {
	if c == request.Normal {
		return "normal"
	}
	return string(c)
}
