package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	wrong := filepath.Join(t.TempDir(), "worker.conf")
	if err := os.WriteFile(wrong, []byte("[autopkgtest]\nslotz = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	short := writeConfiguration(t, 20*time.Hour)
	for name, test := range map[string]struct {
		args []string
		want int
	}{
		"help":                {[]string{"--help"}, exitOK},
		"unknown flag":        {[]string{"--no-such-flag"}, exitUsage},
		"no configuration":    {[]string{"--config", "/nowhere/worker.conf"}, exitUsage},
		"wrong key":           {[]string{"--config", wrong}, exitUsage},
		"wrong key, checked":  {[]string{"--config", wrong, "--check"}, exitUsage},
		"taken away":          {[]string{"--config", short}, exitUsage},
		"taken away, checked": {[]string{"--config", short, "--check"}, exitUsage},
		"wrong log format":    {[]string{"--log-format", "xml"}, exitUsage},
		"request alone":       {[]string{"--config", wrong, "--request", "-"}, exitUsage},
		"no variable":         {[]string{"--config", wrong, "-v", "x"}, exitUsage},
		"image, no file":      {[]string{"image", "--config", "/nowhere/image.conf"}, exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := start(test.args); got != test.want {
				t.Errorf("exit code %d, want %d", got, test.want)
			}
		})
	}
}

func TestQueues(t *testing.T) {
	t.Parallel()
	got := queues(config.Worker{
		Contexts: []string{"", "ppa"}, Releases: []string{"noble", "stone"}, Architectures: []string{"amd64", "arm64"},
	})
	var names []string
	for _, q := range got {
		names = append(names, q.Name())
	}
	want := []string{
		"debci-noble-amd64", "debci-noble-arm64", "debci-stone-amd64", "debci-stone-arm64",
		"debci-ppa-noble-amd64", "debci-ppa-noble-arm64", "debci-ppa-stone-amd64", "debci-ppa-stone-arm64",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("queues (-want +got):\n%s", diff)
	}
	if got[4].Context != request.PPA {
		t.Errorf("context %q", got[4].Context)
	}
}
