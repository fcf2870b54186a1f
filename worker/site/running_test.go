package site

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
)

// The expected texts were printed by Python.
func TestRunHash(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ params, want string }{
		{`{"triggers": ["green/2"], "submit-time": "2026-11-22 01:21:27"}`, "submit-time_2026-11-22 01:21:27;triggers_['green/2'];"},
		{`{"triggers": ["a/1", "b/2"], "all-proposed": "1",
			"env": ["A=it's", "B=\"x\"", "C='\"", "D=a\\b\n\t\u0007", "E=\u00e9\u00a0\u2028\ud83d\ude00"]}`,
			"all-proposed_1;env_[\"A=it's\", 'B=\"x\"', 'C=\\'\"', 'D=a\\\\b\\n\\t\\x07', 'E=é\\xa0\\u2028😀'];triggers_['a/1', 'b/2'];"},
		{`{"n": 1, "f": 1.5, "t": true, "x": null, "d": {"k": ["v"]}, "e": []}`, "d_{'k': ['v']};e_[];f_1.5;n_1;t_True;x_None;"},
		{`{}`, ""},
	} {
		var params map[string]json.RawMessage
		if err := json.Unmarshal([]byte(test.params), &params); err != nil {
			t.Fatal(err)
		}
		if got := runHash(params); got != test.want {
			t.Errorf("%s gives\n%q, want\n%q", test.params, got, test.want)
		}
	}
}

func names(list []Progress) string {
	var words []string
	for _, p := range list {
		words = append(words, fmt.Sprintf("%s/%s/%s:%s", p.Package, p.Release, p.Architecture, p.Duration))
	}
	return strings.Join(words, " ")
}

func TestRunningList(t *testing.T) {
	t.Parallel()
	clock := now
	list := NewRunning(func() time.Time { return clock })
	update := func(status queue.Status) {
		t.Helper()
		if err := list.Update(status); err != nil {
			t.Fatal(err)
		}
	}
	green := progress("noble", "amd64", "green", `{"triggers": ["green/2"]}`, 10, "tail")
	update(green)
	update(progress("noble", "amd64", "blue", `{"triggers": ["green/2"]}`, 20, ""))
	clock = clock.Add(50 * time.Second)
	green.Duration = 60
	update(green)
	if got := names(list.List()); got != "blue/noble/amd64:20s green/noble/amd64:1m0s" {
		t.Errorf("two run: %s", got)
	}
	// The same package with other parameters is another test; its end ends only that.
	other := progress("noble", "amd64", "green", `{"triggers": ["green/3"]}`, 1, "")
	update(other)
	other.Running = false
	update(other)
	clock = clock.Add(15 * time.Second) // nothing was heard of blue for longer than a minute
	if got := names(list.List()); got != "green/noble/amd64:1m0s" {
		t.Errorf("one runs: %s", got)
	}
	green.Running = false
	update(green)
	if got := list.List(); len(got) != 0 {
		t.Errorf("none runs: %s", names(got))
	}
}

// Tests of which nothing but the handle differs are told apart, and a handle or worker without the form of one is none.
func TestRunningHandles(t *testing.T) {
	t.Parallel()
	list := NewRunning(func() time.Time { return now })
	update := func(handle, worker string, running bool) {
		t.Helper()
		status := progress("noble", "amd64", queue.PrivatePackage, `{}`, 10, "")
		status.Handle, status.Worker, status.Running = handle, worker, running
		if err := list.Update(status); err != nil {
			t.Fatal(err)
		}
	}
	update("a", "lab-1", true)
	update("b", "lab-1", true)
	update("a b", "<script>", true)
	update("", "", true)
	got := list.List()
	if len(got) != 3 || got[0].Handle != "" || got[0].Worker != "" || got[1].Handle != "a" || got[1].Worker != "lab-1" || got[2].Handle != "b" {
		t.Errorf("listed: %+v", got)
	}
	update("a", "lab-1", false)
	if got := list.List(); len(got) != 2 || got[1].Handle != "b" {
		t.Errorf("after the end of a: %+v", got)
	}
}

func TestRunningDisbelieves(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]queue.Status{
		"a name that is none":    progress("noble", "amd64", "<script>", `{}`, 1, ""),
		"a release that is none": progress("no-ble", "amd64", "green", `{}`, 1, ""),
		"no architecture":        progress("noble", "", "green", `{}`, 1, ""),
		"parameters as a list":   progress("noble", "amd64", "green", `["x"]`, 1, ""),
		"very many parameters":   progress("noble", "amd64", "green", `{"x": "`+strings.Repeat("x", maxParams)+`"}`, 1, ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list := NewRunning(func() time.Time { return now })
			if err := list.Update(status); err == nil || len(list.List()) != 0 {
				t.Errorf("it was believed: %v", names(list.List()))
			}
		})
	}
}

func TestRunningIsBounded(t *testing.T) {
	t.Parallel()
	list := NewRunning(func() time.Time { return now })
	refused := 0
	for i := range maxRunning + 10 {
		tail := ""
		if i == 0 {
			tail = strings.Repeat("x\x1b[0m\n", 5000)
		}
		if list.Update(progress("noble", "amd64", fmt.Sprintf("p%05d", i), `{}`, -5, tail)) != nil {
			refused++
		}
	}
	tests := list.List()
	if len(tests) != maxRunning || refused != 10 {
		t.Errorf("%d are listed, %d were refused", len(tests), refused)
	}
	if tail := tests[0].LogTail; tail == "" || len(tail) > maxTail || strings.ContainsRune(tail, '\x1b') || tests[0].Duration != 0 {
		t.Errorf("%d bytes of log, %s", len(tail), tests[0].Duration)
	}
}
