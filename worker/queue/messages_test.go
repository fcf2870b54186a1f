package queue

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", name, diff)
	}
}

func TestStatusGolden(t *testing.T) {
	t.Parallel()
	queue := request.Queue{Release: "noble", Architecture: "arm64"}
	for name, test := range map[string]struct {
		body    string
		running bool
		tail    string
	}{
		"status-running.json": {
			"green\n" + `{"triggers": ["green/2"],  "submit-time": "2026-11-22 01:21:27", "x-unknown": {"b":1,"a":2}}`,
			true, "autopkgtest [01:21:30]: starting <now> & here\n[... 🠉 HEAD 🠉 ... 🠋 TAIL 🠋 ...]\nok\n",
		},
		"status-finished.json":     {"green\n" + `{"triggers": ["green/2"]}`, false, ""},
		"status-package-only.json": {"green", true, "log\n"},
		"status-private.json": {
			"green\n" + `{"triggers": ["green/2"], "swiftuser": "joe", "ppas": ["u:secret@joe/foo"]}`,
			true, "Get:1 https://u:secret@private-ppa\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := request.Parse([]byte(test.body))
			if err != nil {
				t.Fatal(err)
			}
			status := NewStatus(queue, r, []byte(test.body), test.running, 120*time.Second+time.Millisecond, test.tail)
			body, err := status.Body()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, body)
			back, err := ParseStatus(body)
			if err != nil {
				t.Fatal(err)
			}
			// Encoding compacts the parameters; what they say must stay.
			var want, got any
			_ = json.Unmarshal(status.Params, &want)
			_ = json.Unmarshal(back.Params, &got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("parameters changed (-sent +read):\n%s", diff)
			}
		})
	}
}

func TestCompletionGolden(t *testing.T) {
	t.Parallel()
	at := result.Location{
		Container: "autopkgtest-noble", Release: "noble", Architecture: "amd64", Package: "libgreen",
		RunID: "20261122_012127_0a1b2@",
	}
	private := at
	private.Container = "private-autopkgtest-noble-joe-foo"
	for name, test := range map[string]struct {
		at      result.Location
		request request.Request
		outcome result.Result
	}{
		"completion.json": {
			at,
			request.Request{
				Package: "libgreen", Triggers: []string{"libgreen/1:2-3", "blue/2"}, Requester: "joe", AllProposed: true,
				TestName: "smoke", Env: []string{"A=b"},
			},
			result.Result{ExitCode: 4, Source: "libgreen", Version: "1:2-3", Duration: 123 * time.Second},
		},
		"completion-bare.json": {
			at, request.Request{Package: "libgreen"},
			result.Result{ExitCode: 16, Source: "libgreen"},
		},
		"completion-private.json": {
			private, request.Request{Package: "libgreen", Triggers: []string{"libgreen/1"}, SwiftUser: "joe"},
			result.Result{ExitCode: 0, Source: "libgreen", Version: "1", Duration: time.Second},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			completion := NewCompletion(test.at, test.request, test.outcome)
			body, err := completion.Body()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, body)
			back, err := ParseCompletion(body)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(completion, back); diff != "" {
				t.Errorf("read back differently (-sent +read):\n%s", diff)
			}
		})
	}
}

func TestParseCompletion(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body string
		ok   bool
	}{
		"duration as a number": {`{"swift_dir":"noble/amd64/g/green/20261122_012127_0a1b2@","duration":123}`, true},
		"duration as text":     {`{"swift_dir":"noble/amd64/g/green/20261122_012127_0a1b2@","duration":"123\n"}`, true},
		"duration negative":    {`{"swift_dir":"noble/amd64/g/green/20261122_012127_0a1b2@","duration":-1}`, false},
		"duration overflows":   {`{"swift_dir":"noble/amd64/g/green/20261122_012127_0a1b2@","duration":9223372036854775807}`, false},
		"duration not text":    {`{"swift_dir":"noble/amd64/g/green/20261122_012127_0a1b2@","duration":[]}`, false},
		"four parts":           {`{"swift_dir":"noble/amd64/green/20261122_012127_0a1b2@","duration":1}`, false},
		"a way out":            {`{"swift_dir":"noble/../../etc/20261122_012127_0a1b2@","duration":1}`, false},
		"not JSON":             {`x`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := ParseCompletion([]byte(test.body))
			if (err == nil) != test.ok {
				t.Fatalf("error = %v, want one: %v", err, !test.ok)
			}
			if test.ok && c.Duration != 123*time.Second {
				t.Errorf("duration = %s, want 123 s", c.Duration)
			}
		})
	}
}

func FuzzParseCompletion(f *testing.F) {
	f.Add([]byte(`{"swift_dir":"noble/amd64/g/green/20261122_012127_0a1b2@","duration":"12\n","triggers":"a/1","env":"all-proposed=1"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := ParseCompletion(body)
		if err != nil {
			return
		}
		again, err := c.Body()
		if err != nil {
			t.Fatalf("read %q, cannot be written: %v", body, err)
		}
		if _, err := ParseCompletion(again); err != nil {
			t.Fatalf("read %q, written as %q, not read again: %v", body, again, err)
		}
	})
}

func FuzzParseStatus(f *testing.F) {
	f.Add([]byte(`{"release":"noble","running":true,"params":{"triggers":["a/1"]},"duration":1,"logtail":"x"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if s, err := ParseStatus(body); err == nil && len(s.Params) > 0 {
			if _, err := s.Body(); err != nil {
				t.Fatalf("read %q, cannot be written: %v", body, err)
			}
		}
	})
}
