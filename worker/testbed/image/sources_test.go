package image

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseList(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		want []source
	}{
		"plain":     {"deb http://a/debian bookworm main contrib\n", []source{{URI: "http://a/debian", Suite: "bookworm", Components: []string{"main", "contrib"}}}},
		"sources":   {"deb-src http://a/debian bookworm main\n", nil},
		"comments":  {"# deb http://a bookworm main\n\n  \ndeb http://b sid main # fresh\n", []source{{URI: "http://b", Suite: "sid", Components: []string{"main"}}}},
		"no end":    {"deb http://b sid main", []source{{URI: "http://b", Suite: "sid", Components: []string{"main"}}}},
		"tabs":      {"deb\thttp://b\tsid\tmain", []source{{URI: "http://b", Suite: "sid", Components: []string{"main"}}}},
		"flat":      {"deb http://b ./\n", nil},
		"too short": {"deb\ndeb http://b\ndeb [arch=amd64]\n", nil},
		"options": {"deb [arch=amd64,i386 signed-by=/k.gpg] http://b sid main\n", []source{
			{URI: "http://b", Suite: "sid", Components: []string{"main"}, Architectures: []string{"amd64", "i386"}, SignedBy: "/k.gpg"}}},
		"options with blanks": {"deb [ Signed-By=/k.gpg ] http://b sid main\n", []source{
			{URI: "http://b", Suite: "sid", Components: []string{"main"}, SignedBy: "/k.gpg"}}},
		"options without end":  {"deb [arch=amd64 http://b sid main\n", nil},
		"key by fingerprint":   {"deb [signed-by=0123ABCD] http://b sid main\n", []source{{URI: "http://b", Suite: "sid", Components: []string{"main"}}}},
		"another kind of line": {"rpm http://b sid main\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, parseList([]byte(test.text))); diff != "" {
				t.Errorf("sources (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseStanzas(t *testing.T) {
	t.Parallel()
	main := []string{"main"}
	for name, test := range map[string]struct {
		text string
		want []source
	}{
		"every suite": {"Types: deb\n# a comment\nURIs: http://a/debian\nSuites: bookworm bookworm-updates\nComponents: main\n" +
			"Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n", []source{
			{URI: "http://a/debian", Suite: "bookworm", Components: main, SignedBy: "/usr/share/keyrings/debian-archive-keyring.gpg"},
			{URI: "http://a/debian", Suite: "bookworm-updates", Components: main, SignedBy: "/usr/share/keyrings/debian-archive-keyring.gpg"}}},
		"two stanzas and blanks": {"\n\nTypes: deb deb-src\nURIs: http://a\nSuites: x\nComponents: main\n \nTypes: deb\nURIs: http://b\nSuites: y\nComponents: main\n", []source{
			{URI: "http://a", Suite: "x", Components: main}, {URI: "http://b", Suite: "y", Components: main}}},
		"continued lines": {"Types: deb\nURIs:\n http://a\n http://b\nSuites: x\nComponents: main\n", []source{
			{URI: "http://a", Suite: "x", Components: main}, {URI: "http://b", Suite: "x", Components: main}}},
		"names in any letters": {"TYPES: deb\nuris: http://a\nSUITES: x\nComponents: main\narchitectures: amd64 arm64\n", []source{
			{URI: "http://a", Suite: "x", Components: main, Architectures: []string{"amd64", "arm64"}}}},
		"switched off":  {"Enabled: no\nTypes: deb\nURIs: http://a\nSuites: x\nComponents: main\n", nil},
		"sources alone": {"Types: deb-src\nURIs: http://a\nSuites: x\nComponents: main\n", nil},
		"flat":          {"Types: deb\nURIs: http://a\nSuites: ./\n", nil},
		"key inside": {"Types: deb\nURIs: http://a\nSuites: x\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n", []source{
			{URI: "http://a", Suite: "x", Components: main}}},
		"not a stanza": {"hello\n world\nx", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, parseStanzas([]byte(test.text)), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("sources (-want +got):\n%s", diff)
			}
		})
	}
}

// TestHostSources reads a machine as cloud providers and people have them: both forms, a list of mirrors, a CD.
func TestHostSources(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, text := range map[string]string{
		"sources.list":                  "deb cdrom:[Debian]/ bookworm main\ndeb https://b/debian/ trixie main\n",
		"sources.list.d/x.list":         "deb http://third/party stable main\n",
		"sources.list.d/x.list.save":    "deb http://not/read stable main\n",
		"sources.list.d/debian.sources": "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: bookworm\nComponents: main\n",
		"sources.list.d/lost.sources":   "Types: deb\nURIs: mirror+file:/etc/apt/mirrors/lost.list\nSuites: bookworm\nComponents: main\n",
		"mirrors/debian.list":           "# the best first\nhttps://cdn/debian\tpriority:1\nhttp://other/debian\n",
	} {
		path := filepath.Join(root, "etc/apt", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	main := []string{"main"}
	want := []source{
		{URI: "https://b/debian", Suite: "trixie", Components: main},
		{URI: "http://third/party", Suite: "stable", Components: main},
		{URI: "https://cdn/debian", Suite: "bookworm", Components: main},
	}
	if diff := cmp.Diff(want, hostSources(root), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	if got := hostSources(t.TempDir()); got != nil {
		t.Errorf("a machine without apt has %v", got)
	}
}
