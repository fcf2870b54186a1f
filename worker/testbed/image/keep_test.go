package image

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

func testKeeper(t *testing.T) *keeper {
	t.Helper()
	k, err := newKeeper(t.Context(), config.Image{Release: "noble", Architecture: "amd64", Directory: t.TempDir()},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

//go:embed testdata/mmdebstrap.argv
var goldenCommand string

// TestRecipeGolden shows mmdebstrap's whole command line.
func TestRecipeGolden(t *testing.T) {
	t.Parallel()
	sources := []source{
		{URI: "http://archive/ubuntu", Suite: "noble", Components: []string{"main", "universe"}, SignedBy: "/k.gpg"},
		{URI: "http://security/ubuntu", Suite: "noble-security", Components: []string{"main", "universe"}, SignedBy: "/k.gpg"},
	}
	r := newRecipe(config.Image{Release: "noble", Architecture: "amd64", Include: []string{"eatmydata"}}, sources, "http://proxy:3142")
	got := sourcesList(sources) + "\n" + r.proxyOptions() + "\n" +
		strings.Join(r.arguments(sources, buildFiles{list: "/work/sources.list", proxy: "/work/proxy.conf", output: "/work/image.tar.zst"}), "\n") + "\n"
	const golden = "testdata/mmdebstrap.argv"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(goldenCommand, got); diff != "" {
		t.Errorf("command line (-want +got); UPDATE_GOLDEN=1 writes it anew, then raise recipeVersion if images differ:\n%s", diff)
	}
}

func TestRecipeHash(t *testing.T) {
	t.Parallel()
	host := []source{{URI: "http://a", Suite: "noble", Components: []string{"main"}},
		{URI: "http://party", Suite: "stable", Components: []string{"tools"}}}
	cfg := config.Image{Release: "noble", Architecture: "amd64", Directory: "/one", Every: time.Hour}
	base := newRecipe(cfg, host, "").hash()
	same := cfg
	same.Directory, same.Every = "/two", time.Minute
	if newRecipe(same, host, "").hash() != base {
		t.Error("where an image is kept, and for how long, changes its recipe")
	}
	if newRecipe(cfg, append(host, source{URI: "http://x", Suite: "x", Components: []string{"y"}}), "").hash() != base {
		t.Error("an archive that is of no use changes the recipe")
	}
	for name, other := range map[string]recipe{
		"release":      newRecipe(config.Image{Release: "jammy", Architecture: "amd64"}, host, ""),
		"architecture": newRecipe(config.Image{Release: "noble", Architecture: "arm64"}, host, ""),
		"mirror":       newRecipe(config.Image{Release: "noble", Architecture: "amd64", Mirror: "http://b"}, host, ""),
		"packages":     newRecipe(config.Image{Release: "noble", Architecture: "amd64", Include: []string{"x"}}, host, ""),
		"sources":      newRecipe(cfg, host[1:], ""),
		"proxy":        newRecipe(cfg, host, "http://proxy"),
	} {
		if other.hash() == base {
			t.Errorf("another %s is the same recipe", name)
		}
	}
}

func TestFreshFor(t *testing.T) {
	t.Parallel()
	k := testKeeper(t)
	k.cfg.Every = time.Hour
	good := testbed.ImageInfo{Recipe: k.recipe.hash(), Canary: testbed.CanaryPassed, Built: time.Now().Add(-10 * time.Minute)}
	change := func(f func(*testbed.ImageInfo)) testbed.ImageInfo { info := good; f(&info); return info }
	if left := k.freshFor(k.image, good); left != 0 {
		t.Errorf("no image: fresh for %s", left)
	}
	if err := os.WriteFile(k.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		info  testbed.ImageInfo
		fresh bool
	}{
		"young":            {good, true},
		"old":              {change(func(i *testbed.ImageInfo) { i.Built = time.Now().Add(-time.Hour) }), false},
		"another recipe":   {change(func(i *testbed.ImageInfo) { i.Recipe = "x" }), false},
		"no canary":        {change(func(i *testbed.ImageInfo) { i.Canary = "" }), false},
		"from the future":  {change(func(i *testbed.ImageInfo) { i.Built = time.Now().Add(time.Hour) }), false},
		"nothing is known": {testbed.ImageInfo{}, false},
	} {
		left := k.freshFor(k.image, test.info)
		if (left > 0) != test.fresh || left > 51*time.Minute {
			t.Errorf("%s: fresh for %s", name, left)
		}
	}
}

func TestCandidate(t *testing.T) {
	t.Parallel()
	const content, sum = "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	for name, test := range map[string]struct {
		change func(*testbed.ImageInfo)
		found  bool
	}{
		"good":           {func(*testbed.ImageInfo) {}, true},
		"old":            {func(i *testbed.ImageInfo) { i.Built = time.Now().Add(-48 * time.Hour) }, false},
		"another recipe": {func(i *testbed.ImageInfo) { i.Recipe = "x" }, false},
		"another file":   {func(i *testbed.ImageInfo) { i.SHA256 = sum[1:] + "0" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := testKeeper(t)
			if _, _, found := k.candidate(); found {
				t.Error("a candidate that is not there is found")
			}
			info := testbed.ImageInfo{Recipe: k.recipe.hash(), SHA256: sum, Built: time.Now()}
			test.change(&info)
			if err := errors.Join(os.WriteFile(k.candidatePath(), []byte(content), 0o600),
				writeInfo(testbed.InfoPath(k.candidatePath()), info)); err != nil {
				t.Fatal(err)
			}
			_, _, found := k.candidate()
			if found != test.found {
				t.Errorf("found: %v, want %v", found, test.found)
			}
			if _, err := os.Stat(k.candidatePath()); (err == nil) != found {
				t.Errorf("taken: %v, but stat says %v", found, err)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	k := testKeeper(t)
	k.readStatus()
	if err := k.status.enter(testbed.PhaseBuilding, nil); err != nil {
		t.Fatal(err)
	}
	if err := k.settle(t.Context(), errors.New("no mirror")); err != nil {
		t.Fatal(err)
	}
	info, err := testbed.ReadImageInfo(k.image)
	if err != nil || info.Phase != testbed.PhaseFailed || info.Error != "no mirror" || info.Release != "noble" {
		t.Fatalf("%+v, %v", info, err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.settle(cancelled, context.Canceled); err != nil {
		t.Fatal(err)
	}
	if info, _ = testbed.ReadImageInfo(k.image); info.Phase != testbed.PhaseStopped || !strings.Contains(info.Error, "stopped") {
		t.Errorf("stopped before there is an image: %+v", info)
	}
	// With an image in place, a stop changes nothing of it.
	if err := os.WriteFile(k.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	k.status.info.SHA256 = "00"
	if err := k.settle(cancelled, context.Canceled); err != nil {
		t.Fatal(err)
	}
	k.readStatus()
	if info := k.status.info; info.Phase != testbed.PhaseReady || info.SHA256 != "00" || info.Error != "" {
		t.Errorf("stopped with an image: %+v", info)
	}
	// An unreadable description does not stop the job.
	if err := os.WriteFile(testbed.InfoPath(k.image), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if k.readStatus(); k.status.info.SHA256 != "" {
		t.Errorf("read from rubbish: %+v", k.status.info)
	}
}

// TestInfoKeys pins the names that other programs read.
func TestInfoKeys(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(testbed.ImageInfo{Release: "noble", Architecture: "amd64", Recipe: "r", SHA256: "s",
		Built: time.Unix(0, 0).UTC(), Canary: "passed", Mirror: "m", Pockets: []string{"proposed"}, Phase: "ready",
		Since: time.Unix(0, 0).UTC(), Error: "e"})
	const want = `{"release":"noble","architecture":"amd64","recipe":"r","sha256":"s","built":"1970-01-01T00:00:00Z","canary":"passed",` +
		`"mirror":"m","pockets":["proposed"],"phase":"ready","since":"1970-01-01T00:00:00Z","error":"e"}`
	if string(text) != want || err != nil {
		t.Errorf("error %v\n got %s\nwant %s", err, text, want)
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	k := testKeeper(t)
	unlock, err := k.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	reason := errors.New("no patience")
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, reason)
	defer cancel()
	if _, err := k.lock(ctx); !errors.Is(err, reason) {
		t.Errorf("locked twice: %v", err)
	}
	unlock()
	if unlock, err = k.lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	if err := Once(t.Context(), config.Image{Release: "a-b", Architecture: "amd64", Directory: t.TempDir()}, log); err == nil {
		t.Error("a release with a dash is taken")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Once(t.Context(), config.Image{Release: "noble", Architecture: "amd64", Directory: file}, log); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v does not name the folder", err)
	}
}
