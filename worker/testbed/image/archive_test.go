package image

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// testArchive serves release files: path → content. Everything else is not found, but for "broken", which fails.
func testArchive(t *testing.T, releases map[string]string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head, found := releases[r.URL.Path]
		switch {
		case strings.Contains(r.URL.Path, "broken"):
			http.Error(w, "out of order", http.StatusBadGateway)
		case !found:
			http.NotFound(w, r)
		default:
			_, _ = w.Write([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" + head + "SHA256:\n 00 0 Origin: wrong\n"))
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func testFetcher() *fetcher {
	f := newFetcher("")
	f.reachable = func(context.Context, string) error { return nil }
	f.own = "other" // the origin that testArchive's distribution has
	return f
}

func TestFindArchive(t *testing.T) {
	t.Parallel()
	const other = "Origin: Other\nSuite: stable\nCodename: %\nArchitectures: all amd64 arm64\nComponents: main extra\n"
	server := testArchive(t, map[string]string{
		"/debian/dists/bookworm/InRelease":        strings.ReplaceAll(other, "%", "bookworm"),
		"/debian/dists/sid/InRelease":             strings.ReplaceAll(other, "%", "sid"),
		"/pockets/dists/noble/InRelease":          strings.ReplaceAll(other, "%", "noble"),
		"/pockets/dists/noble-proposed/InRelease": strings.ReplaceAll(other, "%", "noble"),
		"/pockets/dists/noble-updates/InRelease":  strings.ReplaceAll(other, "%", "noble"),
		"/html/dists/bookworm/InRelease":          "<html>please log in</html>\n",
		"/vendor/dists/bookworm/InRelease":        "Origin: Vendor\nCodename: bookworm\nArchitectures: amd64\nComponents: main\n",
	})
	debian, pockets := server+"/debian", server+"/pockets"
	main := []string{"main"}
	host := []source{
		{URI: server + "/party", Suite: "stable", Components: []string{"tools"}},
		{URI: debian, Suite: "bookworm", Components: []string{"main", "contrib"}, SignedBy: "/k.gpg"},
		{URI: debian, Suite: "bookworm-updates", Components: main},
		{URI: debian, Suite: "bookworm-backports", Components: main},
		{URI: server + "/security", Suite: "bookworm-security", Components: main},
		{URI: pockets, Suite: "noble", Components: main, Architectures: []string{"arm64"}},
	}
	vendor := source{URI: server + "/vendor", Suite: "bookworm", Components: main}
	for name, test := range map[string]struct {
		cfg  config.Image
		host []source
		want archive
		err  error
		says []string // words of the error
	}{
		"this machine's release": {cfg: config.Image{Release: "bookworm", Architecture: "amd64"}, host: host, want: archive{
			origin: "Other", sources: []source{host[1], host[2], host[4]}}},
		"another release of this machine's distribution": {cfg: config.Image{Release: "sid", Architecture: "amd64"}, host: host,
			want: archive{origin: "Other", sources: []source{
				{URI: debian, Suite: "sid", Components: []string{"main", "contrib"}, SignedBy: "/k.gpg"}}}},
		"a proposed pocket": {cfg: config.Image{Release: "noble", Architecture: "arm64"}, host: host,
			want: archive{origin: "Other", sources: []source{host[5]}, pockets: []string{"proposed"}}},
		"the configuration's mirror": {cfg: config.Image{Release: "noble", Architecture: "amd64", Mirror: pockets + "/"}, host: host,
			want: archive{origin: "Other", sources: []source{{URI: pockets, Suite: "noble", Components: main},
				{URI: pockets, Suite: "noble-updates", Components: main}}, pockets: []string{"proposed"}}},
		"the configuration's mirror is this machine's": {cfg: config.Image{Release: "sid", Architecture: "amd64", Mirror: debian}, host: host,
			want: archive{origin: "Other", sources: []source{{URI: debian, Suite: "sid", Components: main, SignedBy: "/k.gpg"}}}},
		"a vendor's packages for the release": {cfg: config.Image{Release: "bookworm", Architecture: "amd64"},
			host: append([]source{vendor}, host...), want: archive{origin: "Other", sources: []source{host[1], host[2], host[4]}}},
		"an archive that nobody knows": {cfg: config.Image{Release: "bookworm", Architecture: "amd64"}, host: []source{vendor},
			want: archive{origin: "Vendor", sources: []source{vendor}}},
		"the right one may be out of order": {cfg: config.Image{Release: "bookworm", Architecture: "amd64"},
			host: []source{vendor, {URI: server + "/broken", Suite: "bookworm", Components: main}}, says: []string{"502"}},
		"unknown release": {cfg: config.Image{Release: "nonesuch", Architecture: "amd64"}, host: host,
			err: ErrRelease, says: []string{"nonesuch", debian, "mirror"}},
		"unknown release at the mirror": {cfg: config.Image{Release: "nonesuch", Architecture: "amd64", Mirror: debian}, host: host,
			err: ErrRelease, says: []string{"nonesuch", debian}},
		"unknown architecture": {cfg: config.Image{Release: "bookworm", Architecture: "s390x", Mirror: debian},
			err: ErrRelease, says: []string{"bookworm", "amd64, arm64", "s390x"}},
		"a machine without archives": {cfg: config.Image{Release: "bookworm", Architecture: "amd64"},
			err: ErrRelease, says: []string{"bookworm", "mirror"}},
		"not an archive": {cfg: config.Image{Release: "bookworm", Architecture: "amd64", Mirror: server + "/html"},
			says: []string{"not the release file"}},
		"an archive that is out of order": {cfg: config.Image{Release: "bookworm", Architecture: "amd64", Mirror: server + "/broken"},
			says: []string{"502"}},
		"an archive that does not answer": {cfg: config.Image{Release: "bookworm", Architecture: "amd64", Mirror: "http://127.0.0.1:1"},
			says: []string{"does not answer", "127.0.0.1:1"}},
		"a password": {cfg: config.Image{Release: "bookworm", Architecture: "amd64", Mirror: strings.Replace(server, "//", "//joe:S3KRIT@", 1)},
			err: ErrRelease, says: []string{"joe:xxxxx@"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := findArchive(t.Context(), testFetcher(), test.cfg, test.host)
			if test.says == nil {
				if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(archive{})); diff != "" || err != nil {
					t.Errorf("error %v, archive (-want +got):\n%s", err, diff)
				}
				return
			}
			if err == nil || (test.err != nil && !errors.Is(err, test.err)) {
				t.Fatalf("error = %v, want %v", err, test.err)
			}
			for _, word := range test.says {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("error %q does not say %q", err, word)
				}
			}
			if strings.Contains(err.Error(), "S3KRIT") {
				t.Errorf("error %q shows the password", err)
			}
		})
	}
}

func TestCheckReachable(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]error{
		"http://127.0.0.1:3142/debian": ErrUnreachable,
		"http://[::1]:3142/":           ErrUnreachable,
		"http://127.77.0.1/":           ErrUnreachable,
		"http://198.51.100.7/debian":   nil,
		"http://name.invalid/debian":   nil, // fetching says what is wrong with it
	} {
		if err := checkReachable(t.Context(), address); !errors.Is(err, want) {
			t.Errorf("%s: error = %v, want %v", address, err, want)
		}
	}
	if err := checkReachable(t.Context(), "debian"); err == nil {
		t.Error("a word is taken for an address")
	}
}

func TestKeyring(t *testing.T) {
	t.Parallel()
	if path, err := keyring("Other"); path != "" || err != nil {
		t.Errorf("another distribution's keys: %q, %v", path, err)
	}
	// Which of the two is missing depends on the machine that tests run on; both answers name what they are about.
	for _, origin := range []string{"Debian", "Ubuntu"} {
		path, err := keyring(origin)
		if (err == nil) == (path == "") || (err != nil && !strings.Contains(err.Error(), keyrings[origin].debianPackage)) {
			t.Errorf("%s: %q, %v", origin, path, err)
		}
	}
}
