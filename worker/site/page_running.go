package site

import "net/http"

type runningData struct {
	Running []Progress
	Deaf    bool // whether tests run is not known
	Queues  queueTable
}

// runningPage shows what runs, with the end of each log, and how long the queues are.
func (s *Site) runningPage(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r, "refresh"); err != nil {
		return err
	}
	data := runningData{Running: s.Running.List(), Queues: s.queues(r.Context())}
	data.Deaf = len(data.Running) == 0 && s.Broker() != nil
	return s.render(w, r, "running", data)
}
