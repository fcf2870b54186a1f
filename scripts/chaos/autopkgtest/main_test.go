package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/chaos/plan"
)

// Every kind ends with a code that a result of it may have, or with one of those that are tried again.
func TestKinds(t *testing.T) {
	t.Parallel()
	for _, k := range plan.Kinds {
		if k.Kind == plan.Signal {
			continue // would end the test
		}
		t.Run(string(k.Kind), func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			c, err := parse([]string{"--output-dir", folder, "--setup-commands", "true", "--apt-upgrade", "gzip",
				"--env=CHAOS=" + string(k.Kind) + ",2,1000", "--env=ADT_TEST_TRIGGERS=k1/1", "--", "unshare", "--release", "stone"})
			if err != nil {
				t.Fatal(err)
			}
			if c.pkg != "gzip" || c.output != folder {
				t.Errorf("read as %+v", c)
			}
			code, err := c.run(true)
			if err != nil || code != 1 && !slices.Contains(k.Kind.Codes(), code) {
				t.Errorf("exit code %d, %v; published are %v", code, err, k.Kind.Codes())
			}
			log, err := os.ReadFile(filepath.Join(folder, "log"))
			if err != nil || !strings.Contains(string(log), "stub autopkgtest") {
				t.Errorf("the log does not say what it is from: %q, %v", log, err)
			}
			if code == exitUsage || code == 1 || code == 16 {
				return // breaks off
			}
			var info struct {
				Environment []string `json:"custom_environment"`
			}
			content, err := os.ReadFile(filepath.Join(folder, "testinfo.json"))
			if err == nil {
				err = json.Unmarshal(content, &info)
			}
			if err != nil || !slices.Contains(info.Environment, "ADT_TEST_TRIGGERS=k1/1") {
				t.Errorf("testinfo.json: %v, %v", info, err)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"no output":     {"gzip", "--", "unshare"},
		"wrong outcome": {"--output-dir", "/nowhere", "--env=CHAOS=pass", "gzip"},
	} {
		if code := start(args, os.Stdout, &strings.Builder{}); code != exitUsage {
			t.Errorf("%s: exit code %d, want %d", name, code, exitUsage)
		}
	}
	var out strings.Builder
	if code := start([]string{"--help"}, &out, os.Stderr); code != 0 || !strings.Contains(out.String(), "--output-dir") {
		t.Errorf("--help: exit code %d, %q", code, &out)
	}
}
