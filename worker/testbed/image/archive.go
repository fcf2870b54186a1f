package image

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// archive is where a release comes from, found and looked at before anything is built.
type archive struct {
	sources []source // the release itself first, then its pockets
	pockets []string // those that a test may choose packages from, see testbed.Invocation
	origin  string
}

// ErrRelease means that no archive was found to have a release for an architecture.
var ErrRelease = errors.New("no such release")

// stablePockets are the suites beside a release that a testbed has too, so that it has the versions that the users of the
// release have: those that this machine's apt uses, or for a release that it does not use, those of the same archive.
var stablePockets = []string{"-updates", "-security"}

// mostMirrors bounds the search for a release that this machine itself does not use.
const mostMirrors = 4

// findArchive finds out where to build a release from: the mirror of the configuration, or else what this machine's apt
// uses for the release, or else an archive that this machine uses for another release of the same distribution.
func findArchive(ctx context.Context, fetch *fetcher, cfg config.Image, host []source) (archive, error) {
	if cfg.Mirror != "" {
		main := mirrorSource(cfg, host)
		a, err := inspect(ctx, fetch, cfg, main)
		if err != nil {
			return archive{}, fmt.Errorf("release %s at the mirror %s: %w", cfg.Release, main.shown(), err)
		}
		return fetch.addPockets(ctx, a)
	}
	var tried []string
	var failed error
	var other *archive
	for _, s := range candidates(cfg, host) {
		a, err := inspect(ctx, fetch, cfg, s)
		if err != nil {
			if tried = append(tried, s.shown()); !errors.Is(err, ErrRelease) {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", s.shown(), err))
			}
			continue
		}
		if fetch.distribution(a.origin) {
			if !slices.ContainsFunc(host, func(h source) bool { return h.Suite == cfg.Release }) {
				return fetch.addPockets(ctx, a)
			}
			a.sources = append(a.sources, hostPockets(cfg, host)...)
			return a, nil
		}
		if other == nil {
			other = &a
		}
	}
	switch {
	case failed != nil: // it may be the one that we want
		return archive{}, fmt.Errorf("release %s: %w", cfg.Release, failed)
	case other != nil:
		return *other, nil
	}
	return archive{}, fmt.Errorf("%w; is its name right? Otherwise name a mirror that has it", nowhere(cfg, tried))
}

// mirrorSource is the source that the configuration names.
func mirrorSource(cfg config.Image, host []source) source {
	return source{URI: strings.TrimRight(cfg.Mirror, "/"), Suite: cfg.Release, SignedBy: signedBy(host, cfg.Mirror)}
}

// nowhere says that none of the archives that were asked has the release.
func nowhere(cfg config.Image, asked []string) error {
	if len(asked) == 0 {
		return fmt.Errorf("%w: %s: this machine's apt has no source to build an image from", ErrRelease, cfg.Release)
	}
	return fmt.Errorf("%w: %s for %s is not at %s", ErrRelease, cfg.Release, cfg.Architecture, strings.Join(asked, ", "))
}

// distribution tells the archive of a distribution from one that offers a few packages for it under the same name, as
// many vendors do.
func (f *fetcher) distribution(origin string) bool {
	_, known := keyrings[origin]
	return known || strings.EqualFold(origin, f.own)
}

// candidates are the sources that may have the release: those of this machine that have it for sure, or else all
// archives of a distribution that it uses, as if they had it.
func candidates(cfg config.Image, host []source) []source {
	var exact, guessed []source
	for _, s := range host {
		if !slices.Contains(s.Components, "main") || !s.has(cfg.Architecture) {
			continue
		}
		if s.Suite == cfg.Release {
			exact = append(exact, s)
		}
		known := slices.ContainsFunc(guessed, func(other source) bool { return other.URI == s.URI })
		if !known && len(guessed) < mostMirrors {
			s.Suite = cfg.Release
			guessed = append(guessed, s)
		}
	}
	if len(exact) > 0 {
		return exact
	}
	return guessed
}

func (s source) has(architecture string) bool {
	return len(s.Architectures) == 0 || slices.Contains(s.Architectures, architecture)
}

func hostPockets(cfg config.Image, host []source) []source {
	var pockets []source
	for _, pocket := range stablePockets {
		i := slices.IndexFunc(host, func(s source) bool { return s.Suite == cfg.Release+pocket && s.has(cfg.Architecture) })
		if i >= 0 {
			pockets = append(pockets, host[i])
		}
	}
	return pockets
}

// addPockets adds those that an archive has beside a release.
func (f *fetcher) addPockets(ctx context.Context, a archive) (archive, error) {
	for _, pocket := range stablePockets {
		s := a.sources[0]
		s.Suite += pocket
		switch _, err := f.release(ctx, s.URI, s.Suite); {
		case err == nil:
			a.sources = append(a.sources, s)
		case !errors.Is(err, ErrRelease):
			return archive{}, err
		}
	}
	return a, nil
}

// signedBy finds the keyring that this machine uses for an archive.
func signedBy(host []source, mirror string) string {
	for _, s := range host {
		if s.URI == strings.TrimRight(mirror, "/") {
			return s.SignedBy
		}
	}
	return ""
}

// inspect reads the release file of a source, and asks whether the release has a proposed pocket.
func inspect(ctx context.Context, fetch *fetcher, cfg config.Image, s source) (archive, error) {
	if err := fetch.reachable(ctx, s.URI); err != nil {
		return archive{}, err
	}
	fields, err := fetch.releaseFor(ctx, cfg, s)
	if err != nil {
		return archive{}, err
	}
	a := archive{origin: fields["origin"]}
	if len(s.Components) == 0 {
		s.Components = []string{"main"}
		if a.origin == "Ubuntu" { // where most packages are elsewhere
			s.Components = strings.Fields(fields["components"])
		}
	}
	if s.SignedBy == "" {
		if s.SignedBy, err = keyring(a.origin); err != nil {
			return archive{}, err
		}
	}
	a.sources = []source{s}
	switch _, err := fetch.release(ctx, s.URI, s.Suite+"-proposed"); {
	case err == nil:
		a.pockets = []string{"proposed"}
	case !errors.Is(err, ErrRelease):
		return archive{}, err
	}
	return a, nil
}

// fetcher gets release files.
type fetcher struct {
	client    *http.Client
	reachable func(ctx context.Context, address string) error // checkReachable but for tests
	own       string                                          // the distribution that this machine runs
}

// fetchTimeout bounds one request: an archive that is so slow cannot be built from.
const fetchTimeout = 15 * time.Second

// newFetcher uses the proxy that apt on this machine uses, or else the environment's.
func newFetcher(proxy string) *fetcher {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	if address, err := url.Parse(proxy); proxy != "" && err == nil {
		transport.Proxy = func(r *http.Request) (*url.URL, error) {
			if ip, err := netip.ParseAddr(r.URL.Hostname()); err == nil && ip.IsLoopback() {
				return nil, nil // the proxy would take it for an address of its own machine
			}
			return address, nil
		}
	}
	return &fetcher{client: &http.Client{Transport: transport, Timeout: fetchTimeout}, reachable: checkReachable,
		own: hostDistribution("/")}
}

// maxReleaseHead is enough for the fields before the checksums.
const maxReleaseHead = 64 << 10

// releaseFor reads the release file of a source, which must have the architecture that is wanted.
func (f *fetcher) releaseFor(ctx context.Context, cfg config.Image, s source) (map[string]string, error) {
	fields, err := f.release(ctx, s.URI, s.Suite)
	if err != nil {
		return nil, err
	}
	architectures := strings.Fields(fields["architectures"])
	if !slices.Contains(architectures, cfg.Architecture) {
		return nil, fmt.Errorf("%w: %s has %s, not %s", ErrRelease, s.Suite, strings.Join(architectures, ", "),
			cfg.Architecture)
	}
	return fields, nil
}

// release reads the head of dists/SUITE/InRelease, or where there is none, of Release, whose signature is a file of its
// own. The signature is not checked here: the build does that, this only finds the mistakes that people make.
func (f *fetcher) release(ctx context.Context, uri, suite string) (map[string]string, error) {
	fields, err := f.head(ctx, uri+"/dists/"+suite+"/InRelease")
	if errors.Is(err, ErrRelease) {
		return f.head(ctx, uri+"/dists/"+suite+"/Release")
	}
	return fields, err
}

// head reads the head of one release file.
func (f *fetcher) head(ctx context.Context, address string) (map[string]string, error) {
	shown := source{URI: address}.shown()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", shown, err)
	}
	response, err := f.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("the archive does not answer: %w", err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusForbidden, http.StatusGone:
		return nil, fmt.Errorf("%w: %s: %s", ErrRelease, shown, response.Status)
	default:
		return nil, fmt.Errorf("the archive answers for %s: %s", shown, response.Status)
	}
	fields := releaseHead(response.Body)
	if fields["codename"] == "" && fields["suite"] == "" {
		return nil, fmt.Errorf("%s is not the release file of an archive", shown)
	}
	return fields, nil
}

// releaseHead reads the fields before the checksums, names in small letters.
func releaseHead(from io.Reader) map[string]string {
	fields := map[string]string{}
	for scanner := bufio.NewScanner(io.LimitReader(from, maxReleaseHead)); scanner.Scan(); {
		name, value, found := strings.Cut(scanner.Text(), ":")
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "md5sum" || name == "sha256" {
			break
		}
		if found {
			fields[name] = strings.TrimSpace(value)
		}
	}
	return fields
}
