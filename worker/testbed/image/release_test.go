package image

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

func TestCheckRelease(t *testing.T) {
	t.Parallel()
	const head = "Origin: Other\nCodename: %\nArchitectures: amd64\nComponents: main\n"
	server := testArchive(t, map[string]string{
		"/debian/dists/bookworm/InRelease": strings.ReplaceAll(head, "%", "bookworm"),
		"/old/dists/etch/Release":          strings.ReplaceAll(head, "%", "etch"),
		"/html/dists/bookworm/InRelease":   "<html>please log in</html>\n",
	})
	debian, old := server+"/debian", server+"/old"
	const nobody = "http://127.0.0.1:1"
	sources := func(addresses ...string) (host []source) {
		for _, address := range addresses {
			host = append(host, source{URI: address, Suite: "stable", Components: []string{"main"}})
		}
		return host
	}
	for name, test := range map[string]struct {
		release, arch, mirror string
		host                  []source
		unknown               bool     // the archives were asked, and have it not
		says                  []string // words of the error; none for no error
		not                   string   // what it must not say
	}{
		"at the mirror":                 {release: "bookworm", mirror: debian + "/"},
		"where this machine's apt is":   {release: "bookworm", host: sources(old, debian)},
		"its signature is another file": {release: "etch", mirror: old},
		"not at the mirror": {release: "nosuch", mirror: debian, host: sources(old), unknown: true,
			says: []string{"nosuch", debian}, not: old},
		"nowhere": {release: "nosuch", host: sources(old, debian), unknown: true, says: []string{"nosuch", debian, old}},
		"for another architecture": {release: "bookworm", arch: "s390x", mirror: debian, unknown: true,
			says: []string{"bookworm", "s390x", debian}},
		"a machine without archives": {release: "bookworm", unknown: true, says: []string{"bookworm", "no source"}},
		"nobody answers":             {release: "nosuch", mirror: nobody, says: []string{nobody, "does not answer"}},
		"one does not answer, and it may have it": {release: "nosuch", host: sources(debian, nobody),
			says: []string{nobody, "does not answer"}, not: debian},
		"one does not answer, another has it": {release: "bookworm", host: sources(nobody, debian)},
		"out of order":                        {release: "nosuch", mirror: server + "/broken", says: []string{"502"}},
		"a page to log in":                    {release: "bookworm", mirror: server + "/html", says: []string{"not the release file"}},
		"a password": {release: "nosuch", mirror: strings.Replace(debian, "//", "//joe:S3KRIT@", 1), unknown: true,
			says: []string{"joe:xxxxx@"}, not: "S3KRIT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config.Image{Release: test.release, Architecture: "amd64", Mirror: test.mirror}
			if test.arch != "" {
				cfg.Architecture = test.arch
			}
			err := checkRelease(t.Context(), testFetcher(), cfg, test.host)
			if (err == nil) != (test.says == nil) || errors.Is(err, ErrRelease) != test.unknown {
				t.Fatalf("error = %v; is it about an unknown release: %v, want %v", err, errors.Is(err, ErrRelease), test.unknown)
			}
			if err == nil {
				return
			}
			for _, word := range test.says {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("error %q does not say %q", err, word)
				}
			}
			if test.not != "" && strings.Contains(err.Error(), test.not) {
				t.Errorf("error %q says %q", err, test.not)
			}
		})
	}
}

// TestCheckReleaseEnds: an archive that takes the question and never answers is not waited for.
func TestCheckReleaseEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	err := checkRelease(ctx, testFetcher(), config.Image{Release: "x", Architecture: "amd64", Mirror: testArchive(t, nil)}, nil)
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrRelease) {
		t.Errorf("error = %v", err)
	}
}
