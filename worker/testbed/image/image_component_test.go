//go:build component

package image

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
	_ "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/unshare"
)

// thisMachine is the configuration for this machine's own release, with images in a folder.
func thisMachine(t *testing.T, folder string) config.Image {
	t.Helper()
	queue := testbedtest.ThisMachine(t)
	return config.Image{Release: queue.Release, Architecture: queue.Architecture, Directory: folder}
}

func imagePath(cfg config.Image) string {
	return testbed.ImagePath(cfg.Directory, request.Queue{Release: cfg.Release, Architecture: cfg.Architecture})
}

func testLog(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// keptImage builds this machine's image, or finds it where tests keep it.
func keptImage(t *testing.T) config.Image {
	t.Helper()
	cfg := thisMachine(t, testbedtest.Images(t))
	if err := Once(t.Context(), cfg, testLog(t)); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func checkFolder(t *testing.T, cfg config.Image, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(cfg.Directory)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if entry.Name() != ".lock" {
			names = append(names, entry.Name())
		}
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("the folder has %q, want %q", names, want)
	}
}

func TestOnce(t *testing.T) {
	t.Parallel()
	cfg := keptImage(t)
	before, err := os.Stat(imagePath(cfg))
	if err != nil {
		t.Fatal(err)
	}
	info, err := testbed.DescribeImage(imagePath(cfg))
	if err != nil || info.Canary != testbed.CanaryPassed || info.Phase != testbed.PhaseReady || info.Built.IsZero() {
		t.Fatalf("%+v, %v", info, err)
	}
	if sum, _, err := fileSum(imagePath(cfg)); err != nil || sum != info.SHA256 {
		t.Errorf("sum %s, error %v, want %s", sum, err, info.SHA256)
	}
	if err := Once(t.Context(), cfg, testLog(t)); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(imagePath(cfg))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("a fresh image was replaced, error %v", err)
	}
}

// TestCandidateTaken swaps in an image from elsewhere, after its canary.
func TestCandidateTaken(t *testing.T) {
	t.Parallel()
	kept := keptImage(t)
	cfg := thisMachine(t, t.TempDir())
	base := filepath.Join(cfg.Directory, cfg.Release+"-"+cfg.Architecture)
	copyFile(t, imagePath(kept), base+".candidate.tar.zst")
	copyFile(t, testbed.InfoPath(imagePath(kept)), base+".candidate.json")
	if err := Once(t.Context(), cfg, testLog(t)); err != nil {
		t.Fatal(err)
	}
	was, _ := testbed.ReadImageInfo(imagePath(kept))
	is, err := testbed.DescribeImage(imagePath(cfg))
	if err != nil || is.SHA256 != was.SHA256 || !is.Built.Equal(was.Built) || is.Canary != testbed.CanaryPassed {
		t.Errorf("error %v\n was %+v\n  is %+v", err, was, is)
	}
	checkFolder(t, cfg, filepath.Base(base)+".json", filepath.Base(base)+".tar.zst")
}

// TestFailedCanary has a new image that is no good: the old one stays, and the reason is to be read.
func TestFailedCanary(t *testing.T) {
	t.Parallel()
	cfg := thisMachine(t, t.TempDir())
	k, err := newKeeper(t.Context(), cfg, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	old := testbed.ImageInfo{Release: cfg.Release, Architecture: cfg.Architecture, Recipe: "an old one", SHA256: "01", Canary: testbed.CanaryPassed}
	broken := testbed.ImageInfo{Recipe: k.recipe.hash(), Built: time.Now(),
		SHA256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
	if err := errors.Join(os.WriteFile(k.image, []byte("old"), 0o600), writeInfo(testbed.InfoPath(k.image), old),
		os.WriteFile(k.candidatePath(), []byte("abc"), 0o600), writeInfo(testbed.InfoPath(k.candidatePath()), broken)); err != nil {
		t.Fatal(err)
	}
	err = Once(t.Context(), cfg, testLog(t))
	if !errors.Is(err, testbed.ErrCanary) {
		t.Fatalf("error = %v", err)
	}
	if content, err := os.ReadFile(k.image); err != nil || string(content) != "old" {
		t.Errorf("the old image is %q, error %v", content, err)
	}
	info, err := testbed.DescribeImage(k.image)
	if err != nil || info.Phase != testbed.PhaseFailed || !strings.Contains(info.Error, "canary") || info.SHA256 != "01" {
		t.Errorf("%+v, %v", info, err)
	}
	checkFolder(t, cfg, filepath.Base(testbed.InfoPath(k.image)), filepath.Base(k.image))
}

func TestUnknownRelease(t *testing.T) {
	t.Parallel()
	cfg := thisMachine(t, t.TempDir())
	cfg.Release = "nonesuch"
	started := time.Now()
	err := Once(t.Context(), cfg, testLog(t))
	if !errors.Is(err, ErrRelease) || !strings.Contains(err.Error(), "nonesuch") || !strings.Contains(err.Error(), "http") {
		t.Errorf("error = %v", err)
	}
	t.Logf("after %s: %v", time.Since(started), err)
	info, err := testbed.ReadImageInfo(imagePath(cfg))
	if err != nil || info.Phase != testbed.PhaseFailed || !strings.Contains(info.Error, "nonesuch") {
		t.Errorf("%+v, %v", info, err)
	}
	checkFolder(t, cfg, filepath.Base(testbed.InfoPath(imagePath(cfg))))
}

func TestMirrorOnThisMachine(t *testing.T) {
	t.Parallel()
	cfg := thisMachine(t, t.TempDir())
	cfg.Mirror = "http://localhost:3142/debian"
	if err := Once(t.Context(), cfg, testLog(t)); !errors.Is(err, ErrUnreachable) {
		t.Errorf("error = %v", err)
	}
}

// TestStop ends the job in the middle of a build.
func TestStop(t *testing.T) {
	word := "mark-" + strconv.FormatInt(time.Now().UnixNano(), 10)
	t.Setenv("AUTOPKGTEST_CLOUD_PROCESS", word)
	cfg := thisMachine(t, t.TempDir())
	// What an earlier job has left when it was killed is removed.
	left := filepath.Join(cfg.Directory, "."+cfg.Release+"-"+cfg.Architecture+".work", "left")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Keep(ctx, cfg, testLog(t)) }()
	testbedtest.Await(t, "the build to unpack files", func() bool {
		programs, _ := filepath.Glob(filepath.Join(filepath.Dir(left), "tmp/*/usr/bin/dpkg"))
		return len(programs) > 0
	})
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the earlier job's files are still there: %v", err)
	}
	cancel()
	started := time.Now()
	if err := <-done; err != nil {
		t.Error(err)
	}
	// Two seconds are the promise on a machine that has nothing else to do; this one may be busy with other tests.
	if took := time.Since(started); took > 8*time.Second {
		t.Errorf("stopped after %s", took)
	} else {
		t.Logf("stopped after %s", took)
	}
	checkFolder(t, cfg, filepath.Base(testbed.InfoPath(imagePath(cfg))))
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, folder := range folders {
		if environment, _ := os.ReadFile(filepath.Join(folder, "environ")); bytes.Contains(environment, []byte(word)) {
			line, _ := os.ReadFile(filepath.Join(folder, "cmdline"))
			t.Errorf("left: %q", line)
		}
	}
	if info, err := testbed.ReadImageInfo(imagePath(cfg)); err != nil || info.Phase != testbed.PhaseStopped {
		t.Errorf("%+v, %v", info, err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
