package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const queuesAnswer = `[
 {"queue":"debci-noble-amd64","context":"","release":"noble","architecture":"amd64","ready":12,"consumers":1},
 {"queue":"debci-huge-noble-amd64","context":"huge","release":"noble","architecture":"amd64","ready":0,"consumers":0}]`

const runningAnswer = `{"green":{"submit-time_x;triggers_['green/2'];":{"noble":{"amd64":[
 {"triggers":["green/2","blue/1"],"requester":"joe"},340,"head\n[... ]\nsecond to last\nlast \u001b[31mline\n\n"]}}},
 "blue":{"":{"noble":{"arm64":[{},5,""]}}}}`

const runningListAnswer = `[
 {"package":"blue","release":"noble","architecture":"arm64","params":{},"duration":5,"logtail":"","handle":"","worker":""},
 {"package":"green","release":"noble","architecture":"amd64","params":{"triggers":["green/2","blue/1"],"requester":"joe"},"duration":340,
  "logtail":"head\n[... ]\nsecond to last\nlast \u001b[31mline\n\n","handle":"20261125-152251-ab12cd34","worker":"lab-1","later":1}]`

const resultsAnswer = `{"results":[{"release":"noble","architecture":"amd64","package":"green","run_id":"20261122_012127_abcde@",
 "version":"1:2.0-1","triggers":["green/1:2.0-1"],"exitcode":4,"class":"fail","duration":7505,"requester":"",
 "url":"http://site/packages/g/green/noble/amd64/20261122_012127_abcde@","log":"http://site/results/x/log.gz","later":1}]}`

func TestTables(t *testing.T) {
	t.Parallel()
	f := newFixture(t, map[string]any{
		"/api/v1/queues": queuesAnswer, "/api/v1/running": runningListAnswer, "/api/v1/results?limit=20": resultsAnswer,
	})
	for command, want := range map[string]string{
		"queues": `
QUEUE                   CONTEXT  RELEASE  ARCH   WAITING  FREE WORKERS
debci-noble-amd64       -        noble    amd64  12       1
debci-huge-noble-amd64  huge     noble    amd64  0        0
`,
		"running": `
PACKAGE  RELEASE  ARCH   FOR    HANDLE                    TRIGGERS        REQUESTER  LOG
blue     noble    arm64  5s     -                         -               -          -
green    noble    amd64  5m40s  20261125-152251-ab12cd34  green/2 blue/1  joe        last  [31mline
`,
		"results": `
PACKAGE  VERSION  RELEASE  ARCH   RESULT  TOOK   TRIGGERS       RUN
green    1:2.0-1  noble    amd64  fail    2h05m  green/1:2.0-1  http://site/packages/g/green/noble/amd64/20261122_012127_abcde@
`,
	} {
		f.run(t, 0, "autopkgtest-cloud", command)
		if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), f.out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", command, diff)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	f := newFixture(t, map[string]any{
		"/api/v1/queues": queuesAnswer, "/api/v1/running": runningListAnswer, "/api/v1/results?limit=20": resultsAnswer,
	})
	decode := func(into any, line ...string) {
		t.Helper()
		f.run(t, 0, append([]string{"autopkgtest-cloud"}, line...)...)
		decoder := json.NewDecoder(&f.out)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(into); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	var queues []siteQueue
	decode(&queues, "queues", "--json")
	if want := (siteQueue{"debci-noble-amd64", "", "noble", "amd64", 12, 1}); len(queues) != 2 || queues[0] != want {
		t.Errorf("queues: %+v", queues)
	}
	var runs []siteRun
	decode(&runs, "--json", "running")
	if len(runs) != 2 || runs[1].Package != "green" || runs[1].Duration != 340 || !strings.HasPrefix(runs[1].LogTail, "head\n") ||
		runs[1].Handle != handle || runs[1].Worker != "lab-1" {
		t.Errorf("running: %+v", runs)
	}
	var results struct {
		Results []siteResult `json:"results"`
	}
	decode(&results, "results", "--json")
	if len(results.Results) != 1 || results.Results[0].ExitCode != 4 {
		t.Errorf("results: %+v", results)
	}
}

// TestRunningOnAnotherSite: one that is not ours, or an older one, has no list with handles.
func TestRunningOnAnotherSite(t *testing.T) {
	t.Parallel()
	f := newFixture(t, map[string]any{"/static/running.json": runningAnswer})
	f.run(t, 0, "autopkgtest-cloud", "running")
	contains(t, "running", f.out.String(), "green    noble    amd64  5m40s  -       green/2 blue/1  joe        last  [31mline\n")
}

func TestNothingToShow(t *testing.T) {
	t.Parallel()
	f := newFixture(t, map[string]any{
		"/api/v1/queues": "[]", "/api/v1/running": "[]", "/api/v1/results": `{"results":[]}`,
	})
	for command, want := range map[string]string{"queues": "[]", "running": "[]", "results": "{\n  \"results\": []\n}"} {
		f.run(t, 0, "autopkgtest-cloud", command, "--json")
		if got := strings.TrimSpace(f.out.String()); got != want {
			t.Errorf("%s: %s", command, got)
		}
		f.run(t, 0, "autopkgtest-cloud", command)
		if lines := strings.Count(f.out.String(), "\n"); lines != 1 {
			t.Errorf("%s: %d lines:\n%s", command, lines, &f.out)
		}
	}
}

func TestResultsFilters(t *testing.T) {
	t.Parallel()
	f := newFixture(t, map[string]any{
		"/api/v1/results?arch=amd64&limit=5&package=g%2B%2B-12&release=noble": resultsAnswer,
		"/api/v1/results?limit=20&request=some+id":                            resultsAnswer,
	})
	f.run(t, 0, "autopkgtest-cloud", "results", "--release", "noble", "--arch=amd64", "--package", "g++-12", "--limit", "5")
	f.run(t, 0, "autopkgtest-cloud", "results", "--series", "noble", "--architecture=amd64", "--package", "g++-12", "--limit", "5")
	f.run(t, 0, "autopkgtest-cloud", "results", "--request", "some id")
	f.run(t, exitUsage, "autopkgtest-cloud", "results", "--limit", "0")
	f.run(t, exitUsage, "autopkgtest-cloud", "results", "--limit", "many")
}

func TestSiteTrouble(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answers map[string]any
		reason  string
	}{
		"another server":  {nil, "404 Not Found: There is nothing here."},
		"not JSON":        {map[string]any{"/api/v1/queues": "<html>"}, "is [web] url right?"},
		"another shape":   {map[string]any{"/api/v1/queues": "{}"}, "is [web] url right?"},
		"no broker there": {map[string]any{"/api/v1/queues": 503}, "503 Service Unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, test.answers)
			f.run(t, exitUnavailable, "autopkgtest-cloud", "queues")
			contains(t, "message", f.err.String(), f.site.URL, test.reason)
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t, nil)
		f.site.Close()
		f.run(t, exitUnavailable, "autopkgtest-cloud", "results")
		contains(t, "message", f.err.String(), f.site.URL, "does not answer")
	})
	t.Run("bad running.json", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t, map[string]any{"/static/running.json": `{"green":{"":{"noble":{"amd64":[1]}}}}`})
		f.run(t, exitUnavailable, "autopkgtest-cloud", "running")
		contains(t, "message", f.err.String(), "green on noble amd64")
	})
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", 1500 * time.Millisecond: "1s", time.Minute: "1m00s", 303 * time.Second: "5m03s", 2*time.Hour + 5*time.Minute: "2h05m",
		100 * time.Hour: "100h00m",
	} {
		if got := span(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

func TestShortenAndClean(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text  string
		width int
		want  string
	}{{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"ääää", 3, "ää…"}, {"abc", 0, ""}} {
		if got := shorten(test.text, test.width); got != test.want {
			t.Errorf("%q in %d: %q, want %q", test.text, test.width, got, test.want)
		}
	}
	if got := clean("a\x1b[2J\r\n\t\u202eb\u009b\xff"); got != "a [2J    b  " {
		t.Errorf("%q", got)
	}
}
