package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// cloud plays a site that sees a request go through its life: step by step, one per poll.
type cloud struct {
	f     *fixture
	exits map[string]int // by architecture
	step  map[string]int // by id; advanced by asking for the result
	stuck bool           // everything stays in the queue
	polls int
}

// The steps of a request. Before it is published the site is asked once.
const (
	stepQueued = iota + 1
	stepTaken
	stepRunning
	stepLonger
	stepStored
)

func newCloud(t *testing.T, exits map[string]int) (*cloud, *fixture) {
	c := &cloud{exits: exits, step: map[string]int{}}
	answers := map[string]any{}
	f := newFixture(t, answers)
	c.f = f
	answers["/api/v1/results"] = c.results
	answers["/static/running.json"] = c.running
	answers["/api/v1/queues"] = c.queues
	return c, f
}

// published finds a request by its id.
func (c *cloud) published(id string) (architecture string, r request.Request, found bool) {
	c.f.broker.mutex.Lock()
	defer c.f.broker.mutex.Unlock()
	for _, m := range c.f.broker.messages {
		r, err := request.Parse([]byte(m.Body))
		if err == nil && r.ID == id {
			return m.Queue[strings.LastIndex(m.Queue, "-")+1:], r, true
		}
	}
	return "", request.Request{}, false
}

func (c *cloud) results(r *http.Request) string {
	c.polls++
	id := r.FormValue("request")
	architecture, found, ok := c.published(id)
	if ok && !c.stuck {
		c.step[id]++
	}
	if c.step[id] < stepStored {
		return `{"results":[]}`
	}
	exit := c.exits[architecture]
	class := map[int]string{0: "pass", 4: "fail", 16: "tmpfail", -9: "otherfail"}[exit]
	return fmt.Sprintf(`{"results":[{"release":"noble","architecture":%q,"package":%q,"run_id":"20261122_012127_abcde@",
		"version":"1.12-1","triggers":["green/1"],"exitcode":%d,"class":%q,"duration":12,"requester":"",
		"url":"http://site/run-%s","log":"http://site/log-%s"}]}`, architecture, found.Package, exit, class, architecture, architecture)
}

func (c *cloud) running(*http.Request) string {
	all := map[string]any{}
	c.f.broker.mutex.Lock()
	defer c.f.broker.mutex.Unlock()
	for _, m := range c.f.broker.messages {
		architecture := m.Queue[strings.LastIndex(m.Queue, "-")+1:]
		r, err := request.Parse([]byte(m.Body))
		if err != nil {
			return err.Error()
		}
		step := c.step[r.ID]
		if step != stepRunning && step != stepLonger {
			continue
		}
		_, params, _ := strings.Cut(m.Body, "\n")
		all[r.ID] = map[string]any{"noble": map[string]any{architecture: []any{
			json.RawMessage(params), 10 * (step - stepRunning + 1), fmt.Sprintf("first line\nline %d of the \x1b[31mlog\n", step),
		}}}
	}
	content, err := json.Marshal(map[string]any{"green": all})
	if err != nil {
		return err.Error()
	}
	return string(content)
}

func (c *cloud) queues(*http.Request) string {
	ready := 1
	for _, step := range c.step {
		if step >= stepTaken {
			ready = 0
		}
	}
	return fmt.Sprintf(`[{"queue":"debci-noble-amd64","ready":%d,"consumers":1},{"queue":"debci-noble-arm64","ready":3,"consumers":0}]`, ready)
}

var waitOrder = []string{"autopkgtest-cloud", "request", "-s", "noble", "-a", "amd64", "--trigger", "green/1", "--wait", "green"}

func TestWait(t *testing.T) {
	t.Parallel()
	_, f := newCloud(t, nil)
	f.run(t, 0, waitOrder...)
	const wantErr = `green noble/amd64: queued, 1 request waits
green noble/amd64: taken by a worker
green noble/amd64: running 10s: line 3 of the  [31mlog
green noble/amd64: stored
`
	if got := f.err.String(); got != wantErr {
		t.Errorf("progress:\n%s\nwant:\n%s", got, wantErr)
	}
	const wantOut = `pass: green 1.12-1 on noble/amd64 with exit code 0 after 12s
  http://site/run-amd64
  http://site/log-amd64
`
	if got := f.out.String(); got != wantOut {
		t.Errorf("output:\n%s\nwant:\n%s", got, wantOut)
	}
	if f.pauses != stepStored-1 {
		t.Errorf("%d pauses", f.pauses)
	}
}

func TestWaitExitCode(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		exits map[string]int
		more  []string
		want  int
	}{
		"fail":             {map[string]int{"amd64": 4}, nil, 4},
		"testbed failure":  {map[string]int{"amd64": 16}, nil, 16},
		"never run":        {map[string]int{"amd64": 99}, nil, 99},
		"killed":           {map[string]int{"amd64": -9}, nil, 1},
		"first that fails": {map[string]int{"amd64": 0, "arm64": 16}, []string{"-a", "arm64"}, 16},
		"first of two":     {map[string]int{"amd64": 4, "arm64": 16}, []string{"-a", "arm64"}, 4},
		"all pass":         {nil, []string{"-a", "arm64"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, f := newCloud(t, test.exits)
			f.run(t, test.want, append(waitOrder[:len(waitOrder):len(waitOrder)], test.more...)...)
			contains(t, "output", f.out.String(), "http://site/run-amd64")
		})
	}
}

func TestWaitJSON(t *testing.T) {
	t.Parallel()
	_, f := newCloud(t, map[string]int{"amd64": 4})
	f.run(t, 4, append(waitOrder[:len(waitOrder):len(waitOrder)], "--json")...)
	var printed struct {
		Results []siteResult `json:"results"`
	}
	if err := json.Unmarshal(f.out.Bytes(), &printed); err != nil || len(printed.Results) != 1 || printed.Results[0].ExitCode != 4 {
		t.Errorf("%v: %s", err, &f.out)
	}
}

func TestWaitOnATerminal(t *testing.T) {
	t.Parallel()
	_, f := newCloud(t, nil)
	f.columns = 60
	f.run(t, 0, append(waitOrder[:len(waitOrder):len(waitOrder)], "-a", "arm64")...)
	screen := f.err.String()
	contains(t, "screen", screen,
		"green noble/amd64  queued, 1 request waits\n", "green noble/amd64  taken by a worker\n",
		"green noble/amd64  running 10s: line 3 of the  [31mlog\n", "green noble/amd64  running 20s: line 4 of the  [31mlog\n",
		"green noble/arm64  queued, 3 requests wait, no worker is f…\n", "\x1b[2A\r\x1b[J")
	if !strings.HasSuffix(screen, "\x1b[2A\r\x1b[J") {
		t.Errorf("the lines stay: %q", screen)
	}
	for line := range strings.Lines(screen) {
		line = strings.TrimPrefix(strings.TrimPrefix(line, "\x1b[2A"), "\r\x1b[J")
		if len([]rune(strings.TrimSpace(line))) >= 60 {
			t.Errorf("too long for the terminal: %q", line)
		}
		if strings.Contains(line, "\x1b") {
			t.Errorf("the log reaches the terminal: %q", line)
		}
	}
}

func TestWaitForMany(t *testing.T) {
	t.Parallel()
	_, f := newCloud(t, nil)
	f.columns = 80
	order := append([]string{}, waitOrder...)
	for i := range 20 {
		order = append(order, fmt.Sprintf("blue%d", i))
	}
	f.run(t, 0, order...)
	contains(t, "screen", f.err.String(), "and 10 more\n", "0 of 21 have results\n")
}

func TestWaitLimit(t *testing.T) {
	t.Parallel()
	c, f := newCloud(t, nil)
	c.stuck = true
	f.run(t, exitTimeout, append(waitOrder[:len(waitOrder):len(waitOrder)], "--timeout", "5m")...)
	contains(t, "message", f.err.String(), "no result after 5m0s for 1 of 1 requests, first green noble/amd64: queued, 1 request waits",
		"autopkgtest-cloud results --request ")
	if lines := strings.Count(f.err.String(), "green noble/amd64: queued, 1 request waits\n"); lines < 5 || lines > 6 {
		t.Errorf("%d signs of life in 5 minutes:\n%s", lines, &f.err)
	}
	if elapsed := time.Duration(f.pauses) * pollEvery; elapsed < 5*time.Minute || elapsed > 6*time.Minute {
		t.Errorf("it waited %s", elapsed)
	}
}

func TestWaitInterrupted(t *testing.T) {
	t.Parallel()
	c, f := newCloud(t, nil)
	c.stuck = true
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	steps := 0
	f.app.pause = func(ctx context.Context, _ time.Duration) error {
		if steps++; steps == 3 {
			cancel()
		}
		return ctx.Err()
	}
	f.runWith(t, ctx, exitInterrupted, waitOrder...)
	contains(t, "message", f.err.String(), "what was requested stays requested", "results --request ")
	if len(f.broker.messages) != 1 {
		t.Errorf("messages: %+v", f.broker.messages)
	}
}

// TestWaitThroughTrouble: a site that is away for a moment is waited for, and said so once.
func TestWaitThroughTrouble(t *testing.T) {
	t.Parallel()
	c, f := newCloud(t, map[string]int{"amd64": 4})
	handler := f.site.Config.Handler
	f.site.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/results" && (c.polls == 3 || c.polls == 4) {
			c.polls++
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		handler.ServeHTTP(w, r)
	})
	f.run(t, 4, waitOrder...)
	if n := strings.Count(f.err.String(), "502 Bad Gateway"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &f.err)
	}
}

func TestWaitNeedsASite(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*fixture) int{
		"away":    func(f *fixture) int { f.site.Close(); return exitUnavailable },
		"another": func(f *fixture) int { f.site.Config.Handler = http.NotFoundHandler(); return exitUnavailable },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, f := newCloud(t, nil)
			f.run(t, prepare(f), waitOrder...)
			if len(f.broker.messages) > 0 {
				t.Errorf("published although nobody could watch: %+v", f.broker.messages)
			}
		})
	}
}

func TestWaitUsage(t *testing.T) {
	t.Parallel()
	_, f := newCloud(t, nil)
	f.run(t, exitUsage, append(waitOrder[:len(waitOrder):len(waitOrder)], "--swiftuser", "reader")...)
	contains(t, "message", f.err.String(), "--wait cannot see private results")
	f.run(t, exitUsage, "autopkgtest-cloud", "request", "-s", "noble", "-a", "amd64", "--trigger", "green/1", "--timeout", "1h", "green")
	contains(t, "message", f.err.String(), "--timeout is for --wait")
	if len(f.broker.messages) > 0 {
		t.Errorf("messages: %+v", f.broker.messages)
	}
}
