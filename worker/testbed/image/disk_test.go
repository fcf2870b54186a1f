package image

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// TestDiskRecipe: a disk is built as a tarball is, but for what makes it boot.
func TestDiskRecipe(t *testing.T) {
	t.Parallel()
	sources := []source{{URI: "http://archive/debian", Suite: "bookworm", Components: []string{"main"}}}
	cfg := config.Image{Release: "bookworm", Architecture: "amd64", Include: []string{"eatmydata"}}
	tarball, disk := newRecipe(cfg, sources, "http://proxy:3142"), newDiskRecipe(cfg, sources, "http://proxy:3142")
	files := buildFiles{list: "/work/sources.list", proxy: "/work/proxy.conf", output: "/the work/image", script: "/the work/disk.sh"}
	got := disk.arguments(sources, files)
	want := []string{`--customize-hook=sh '/the work/disk.sh' "$1" '/the work/image'`, "bookworm", "/dev/null", "/work/sources.list"}
	if !slices.Equal(got[len(got)-len(want):], want) {
		t.Errorf("%q does not end with %q", got, want)
	}
	text := strings.Join(got, "\n")
	for _, word := range []string{"--format=null", "eatmydata", "cloud-init", "--aptopt=/work/proxy.conf"} {
		if !strings.Contains(text, word) {
			t.Errorf("%s has no %s", text, word)
		}
	}
	for _, word := range []string{"--format=tar", "nameserver"} { // which is that of a run's network
		if strings.Contains(text, word) {
			t.Errorf("%s has %s", text, word)
		}
	}
	if tarball.hash() == disk.hash() || slices.Contains(tarball.arguments(sources, files), "--format=null") {
		t.Error("the two are one")
	}
}

func TestDiskKernel(t *testing.T) {
	t.Parallel()
	disk := newDiskRecipe(config.Image{Release: "r", Architecture: "amd64"}, nil, "")
	for origin, want := range map[string]string{"Debian": "linux-image-cloud-amd64", "Ubuntu": "linux-image-virtual", "Devuan": ""} {
		got, err := disk.kernel(origin)
		if slices.Contains(got, want) != (want != "") || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", origin, got, err)
		}
	}
	if got, err := (recipe{}).kernel("Devuan"); got != nil || err != nil {
		t.Errorf("a tarball has a kernel: %q, %v", got, err)
	}
	arm := config.Image{Release: "r", Architecture: "arm64", Directory: t.TempDir()}
	if _, err := BuildDisk(t.Context(), arm, t.TempDir(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "only for amd64") {
		t.Errorf("%v", err)
	}
}
