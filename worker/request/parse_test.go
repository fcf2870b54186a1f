package request

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body string
		want Request
	}{
		"britney": {
			"green\n" + `{"triggers": ["green/2.0-1", "libblue/1:3-2"], "submit-time": "2026-11-22 01:21:27"}`,
			Request{Package: "green", Triggers: []string{"green/2.0-1", "libblue/1:3-2"}, SubmitTime: "2026-11-22 01:21:27"},
		},
		"website": {
			"green\n" + `{"all-proposed": "1", "requester": "joe", "submit-time": "2026-11-22 01:21:27+0000", "triggers": ["green/2"]}`,
			Request{
				Package: "green", AllProposed: true, Requester: "joe", SubmitTime: "2026-11-22 01:21:27+0000",
				Triggers: []string{"green/2"},
			},
		},
		"run-autopkgtest": {
			"green\n" + `{"triggers": ["green/2"], "ppas": ["joe/foo", "joe/bar"], "env": ["A=b c", "D=e=f"], ` +
				`"submit-time": "2026-11-22 01:21:27.123456+0000", "requester": "joe"}`,
			Request{
				Package: "green", Triggers: []string{"green/2"}, PPAs: []string{"joe/foo", "joe/bar"},
				Env: []string{"A=b c", "D=e=f"}, SubmitTime: "2026-11-22 01:21:27.123456+0000", Requester: "joe",
			},
		},
		"webhook": {
			"green\n" + `{"build-git": "https://git.example.com/green.git#refs/pull/7/head", "env": ["UPSTREAM_PULL_REQUEST=7"], ` +
				`"ppas": ["joe/foo"], "testname": "smoke"}`,
			Request{
				Package: "green", BuildGit: "https://git.example.com/green.git#refs/pull/7/head",
				Env: []string{"UPSTREAM_PULL_REQUEST=7"}, PPAs: []string{"joe/foo"}, TestName: "smoke",
			},
		},
		"tests from git": {
			"green\n" + `{"test-git": "git://git.example.com/green"}`,
			Request{Package: "green", TestGit: "git://git.example.com/green"},
		},
		"private": {
			"green\n" + `{"ppas": ["robot:token@joe/secret:ABCDEF0123456789"], "swiftuser": "reader", "readable-by": ["joe", "a-team"]}`,
			Request{
				Package: "green", PPAs: []string{"robot:token@joe/secret:ABCDEF0123456789"}, SwiftUser: "reader",
				ReadableBy: []string{"joe", "a-team"},
			},
		},
		"readable-by as a string":       {"green\n" + `{"readable-by": "joe"}`, Request{Package: "green", ReadableBy: []string{"joe"}}},
		"readable-by empty":             {"green\n" + `{"readable-by": ""}`, Request{Package: "green"}},
		"2015, package only":            {"green", Request{Package: "green"}},
		"no parameters":                 {"green\n{}", Request{Package: "green"}},
		"spaces around the object":      {"green\n  {\n} \n", Request{Package: "green"}},
		"all-proposed false is present": {"green\n" + `{"all-proposed": false}`, Request{Package: "green", AllProposed: true}},
		"all-proposed null is present":  {"green\n" + `{"all-proposed": null}`, Request{Package: "green", AllProposed: true}},
		"null is absent":                {"green\n" + `{"requester": null, "triggers": null}`, Request{Package: "green"}},
		"Debian, all triggers in one string": {
			"green\n" + `{"triggers": ["green/2 blue/1", " red/3 "]}`,
			Request{Package: "green", Triggers: []string{"green/2", "blue/1", "red/3"}},
		},
		"reference": {
			"green\n" + `{"triggers": ["migration-reference/0"]}`,
			Request{Package: "green", Triggers: []string{Reference}},
		},
		"odd trigger and environment are left to the run": {
			"green\n" + `{"triggers": ["green"], "env": ["no equals sign"]}`,
			Request{Package: "green", Triggers: []string{"green"}, Env: []string{"no equals sign"}},
		},
		"unknown keys are kept": {
			"green\n" + `{"test-bzr": "lp:green", "priority": 5, "Triggers": ["x"]}`,
			Request{Package: "green", Extra: map[string]json.RawMessage{
				"test-bzr": json.RawMessage(`"lp:green"`), "priority": json.RawMessage("5"), "Triggers": json.RawMessage(`["x"]`),
			}},
		},
		"last of two equal keys": {"green\n" + `{"requester": "a", "requester": "b"}`, Request{Package: "green", Requester: "b"}},
		"our key":                {"green\n" + `{"request-id": "abc"}`, Request{Package: "green", ID: "abc"}},
		"package with all marks": {"libstdc++-9.1\n{}", Request{Package: "libstdc++-9.1"}},
		"upper case package":     {"Green", Request{Package: "Green"}},
		"beyond ASCII":           {"green\n" + `{"requester": "jörg", "env": ["X=🦎"]}`, Request{Package: "green", Requester: "jörg", Env: []string{"X=🦎"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse([]byte(test.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body   string
		reason string // part of the message
	}{
		"empty":                      {"", "no package"},
		"no package":                 {"\n{}", "no package"},
		"blank in the package":       {"green {}", "not a source package's name"},
		"carriage return":            {"green\r\n{}", "not a source package's name"},
		"path as package":            {"../green\n{}", "not a source package's name"},
		"dots as package":            {"..\n{}", "not a source package's name"},
		"option as package":          {"--shell\n{}", "not a source package's name"},
		"long package":               {strings.Repeat("x", 201), "not a source package's name"},
		"not UTF-8":                  {"green\n{\"requester\": \"\xff\"}", "not UTF-8"},
		"no object":                  {"green\n", "not a JSON object"},
		"cut off":                    {"green\n" + `{"triggers": ["a/1"`, "not a JSON object"},
		"two objects":                {"green\n{}{}", "not a JSON object"},
		"a list":                     {"green\n[]", "not a JSON object"},
		"a string":                   {"green\n" + `"triggers"`, "not a JSON object"},
		"null":                       {"green\nnull", "null"},
		"triggers is a string":       {"green\n" + `{"triggers": "a/1"}`, `"triggers" is not a list of strings`},
		"triggers has a number":      {"green\n" + `{"triggers": ["a/1", 2]}`, `"triggers" is not a list of strings`},
		"triggers has null":          {"green\n" + `{"triggers": [null]}`, "null"},
		"triggers is a list of list": {"green\n" + `{"triggers": [["a/1"]]}`, `"triggers" is not a list of strings`},
		"env is an object":           {"green\n" + `{"env": {"A": "b"}}`, `"env" is not a list of strings`},
		"testname is a list":         {"green\n" + `{"testname": ["smoke"]}`, `"testname" is not a string`},
		"readable-by is a number":    {"green\n" + `{"readable-by": 7}`, `"readable-by" is not a list of strings`},
		"PPA without an owner":       {"green\n" + `{"ppas": ["foo"]}`, "a PPA is not of the form"},
		"PPA with blanks":            {"green\n" + `{"ppas": ["joe/foo bar"]}`, "a PPA is not of the form"},
		"PPA that leaves the folder": {"green\n" + `{"ppas": ["../joe"]}`, "a PPA is not of the form"},
		"private PPA in public":      {"green\n" + `{"ppas": ["robot:token@joe/secret"]}`, `"swiftuser" is missing`},
		"git from the worker's disk": {"green\n" + `{"build-git": "/etc"}`, `"build-git" is not an http, https or git URL`},
		"option as git":              {"green\n" + `{"test-git": "--output-dir=/"}`, `"test-git" is not an http, https or git URL`},
		"command as git":             {"green\n" + `{"test-git": "ext::sh -c id"}`, `"test-git" is not an http, https or git URL`},
		"swiftuser is a list":        {"green\n" + `{"swiftuser": "a,.r:*"}`, `"swiftuser" is`},
		"NUL in the environment":     {"green\n" + `{"env": ["A=\u0000"]}`, "no process could be given"},
		"newline in the requester":   {"green\n" + `{"requester": "joe\nroot"}`, "control characters"},
		"escape in the test's name":  {"green\n" + `{"testname": "\u001b[2J"}`, "control characters"},
		"one huge trigger":           {"green\n" + `{"triggers": ["` + strings.Repeat("x", 200_000) + `/1"]}`, "at most"},
		"too many triggers":          {"green\n" + `{"triggers": ["x/1"` + strings.Repeat(`, "green/1.2.3-4"`, 20_000) + `]}`, "at most"},
		"one huge environment entry": {"green\n" + `{"env": ["X=` + strings.Repeat("x", 200_000) + `"]}`, "no process could be given"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse([]byte(test.body))
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("error %v, want ErrMalformed", err)
			}
			if !strings.Contains(err.Error(), test.reason) {
				t.Errorf("error %q does not say %q", err, test.reason)
			}
			if len(err.Error()) > 500 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			if strings.Contains(err.Error(), "token") {
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	body := func(size int) []byte {
		const head, tail = "green\n" + `{"x": "`, `"}`
		return []byte(head + strings.Repeat("x", size-len(head)-len(tail)) + tail)
	}
	if _, err := Parse(body(MaxBody)); err != nil {
		t.Errorf("the largest body: %v", err)
	}
	if _, err := Parse(body(MaxBody + 1)); !errors.Is(err, ErrMalformed) {
		t.Errorf("one byte more: error %v, want ErrMalformed", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, body := range []string{
		"green", "green\n{}", "green\n" + `{"triggers": ["green/2 blue/1"], "submit-time": "2026-11-22 01:21:27"}`,
		"green\n" + `{"ppas": ["robot:token@joe/secret:AB"], "swiftuser": "x", "readable-by": "y", "all-proposed": 1}`,
		"green\n" + `{"x": {"y": [1, 2.0, null]}, "env": ["A=\u2028"], "build-git": "https://x/y#z"}`, "\n", "green\nnull",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := Parse(body)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("error %v does not wrap ErrMalformed", err)
			}
			return
		}
		printed, err := r.Body()
		if errors.Is(err, ErrMalformed) && len(body) > MaxBody/6 {
			return // escapes made it longer
		}
		if err != nil {
			t.Fatalf("what was parsed does not print: %v", err)
		}
		again, err := Parse(printed)
		if err != nil {
			t.Fatalf("what was printed does not parse: %v\n%s", err, printed)
		}
		// Extra values may be written in another way; printed once more they must be the same.
		reprinted, err := again.Body()
		if err != nil || string(reprinted) != string(printed) {
			t.Fatalf("printed twice (%v):\n%s\n%s", err, printed, reprinted)
		}
		r.Extra, again.Extra = nil, nil
		if diff := cmp.Diff(r, again); diff != "" {
			t.Fatalf("(-parsed +again):\n%s", diff)
		}
	})
}
