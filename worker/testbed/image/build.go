package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// buildSpace is for the unpacked system, the packages and the tarball.
const buildSpace = 3 << 30

// grace is how long children have between TERM and KILL: the job itself has to be gone two seconds after its TERM.
const grace = 500 * time.Millisecond

// build builds an image into a folder, which holds everything that it makes. It returns the image's path and what is
// known of it.
func (k *keeper) build(ctx context.Context, folder string) (string, testbed.ImageInfo, error) {
	if err := testbed.CheckSpace(folder, buildSpace); err != nil {
		return "", testbed.ImageInfo{}, err
	}
	if k.recipe.Proxy != "" {
		if err := checkReachable(ctx, k.recipe.Proxy); err != nil {
			return "", testbed.ImageInfo{}, fmt.Errorf("apt's proxy: %w", err)
		}
	}
	a, err := findArchive(ctx, newFetcher(k.recipe.Proxy), k.cfg, k.host)
	if err != nil {
		return "", testbed.ImageInfo{}, err
	}
	mirror := a.sources[0].shown()
	k.log.Info("building an image", "mirror", mirror, "suites", suites(a.sources), "pockets", a.pockets)
	files := buildFiles{list: filepath.Join(folder, "sources.list"), proxy: filepath.Join(folder, "proxy.conf"),
		output: filepath.Join(folder, "image"+testbed.ImageSuffix), script: filepath.Join(folder, "disk.sh")}
	kernel, err := k.recipe.kernel(a.origin)
	if err != nil {
		return "", testbed.ImageInfo{}, err
	}
	recipe := k.recipe
	recipe.Include = slices.Concat(recipe.Include, kernel)
	temporary := filepath.Join(folder, "tmp")
	if err := errors.Join(os.WriteFile(files.list, []byte(sourcesList(a.sources)), 0o600), os.Mkdir(temporary, 0o700),
		os.WriteFile(files.proxy, []byte(recipe.proxyOptions()), 0o600),
		os.WriteFile(files.script, []byte(recipe.Disk), 0o600)); err != nil {
		return "", testbed.ImageInfo{}, fmt.Errorf("prepare the build of an image: %w", err)
	}
	started := time.Now()
	command := testbed.Command{Name: "mmdebstrap", Package: "mmdebstrap", Args: recipe.arguments(a.sources, files),
		Temporary: temporary, Output: &lineLogger{log: k.log}, Grace: grace}
	if err := command.Run(ctx, k.log); err != nil {
		return "", testbed.ImageInfo{}, fmt.Errorf("build an image of %s from %s: %w", k.cfg.Release, mirror, err)
	}
	sum, size, err := fileSum(files.output)
	if err != nil {
		return "", testbed.ImageInfo{}, err
	}
	k.log.Info("image built", "took", time.Since(started).Round(time.Millisecond), "megabytes", size>>20)
	return files.output, testbed.ImageInfo{Release: k.cfg.Release, Architecture: k.cfg.Architecture, Recipe: k.recipe.hash(),
		SHA256: sum, Built: time.Now().UTC().Truncate(time.Second), Mirror: mirror, Pockets: a.pockets,
		Sources: others(a.sources), Proxy: shownProxy(k.recipe.Proxy)}, nil
}

// others are the archives beside the first.
func others(sources []source) []string {
	var out []string
	for _, s := range sources[1:] {
		if uri := s.shown(); uri != sources[0].shown() && !slices.Contains(out, uri) {
			out = append(out, uri)
		}
	}
	return out
}

// shownProxy is a proxy's address without its password.
func shownProxy(proxy string) string {
	if u, err := url.Parse(proxy); err == nil {
		return u.Redacted()
	}
	return ""
}

func suites(sources []source) []string {
	var out []string
	for _, s := range sources {
		out = append(out, s.Suite)
	}
	return out
}

func fileSum(path string) (sum string, size int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	hash := sha256.New()
	if size, err = io.Copy(hash, file); err != nil {
		return "", 0, fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(hash.Sum(nil)), size, nil
}

// lineLogger logs what a program prints, line by line. It is used by one goroutine at a time for each stream, and a
// program's two streams share it: the lines of one write stay together.
type lineLogger struct {
	log *slog.Logger
}

func (l *lineLogger) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		if text := string(bytes.TrimSpace(line)); text != "" {
			l.log.Info(text, "from", "mmdebstrap")
		}
	}
	return len(p), nil
}
