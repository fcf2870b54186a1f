package nova

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestUserData(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options config.NovaOptions
		key     string
	}{
		"plain": {},
		"whole": {config.NovaOptions{Mirror: "http://archive.example.com/ubuntu", Environment: []string{
			"http_proxy=http://squid.example.com:3128", `no_proxy=127.0.0.1, localhost 'x' "y" \ $HOME: é`,
		}}, "ssh-ed25519 AAAA worker"},
	} {
		got, err := userData(test.options, test.key)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "user-data-"+name, got)
	}
}

func TestServerName(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		of   testbed.Testbed
		want string
	}{
		{testbed.Testbed{Release: "noble", Architecture: "amd64", Package: "green", Run: "20261126-113607-1a2b3c4d"}, "adt-noble-amd64-green-20261126-113607-1a2b3c4d"},
		{testbed.Testbed{Release: "noble", Architecture: "amd64", Package: "libstdc++6.1", Run: "20261126-113607-1a2b3c4d"}, "adt-noble-amd64-libstdc--6-1-20261126-113607-1a2b3c4d"},
		{testbed.Testbed{Release: "noble", Architecture: "amd64", Package: strings.Repeat("long-", 30), Run: "20261126-113607-1a2b3c4d"}, "adt-noble-amd64-long-long-long-long-lo-20261126-113607-1a2b3c4d"},
		{testbed.Testbed{Release: "noble", Architecture: "amd64", Package: "autopkgtest-canary", Name: "autopkgtest-abcdefghijkl"}, "adt-noble-amd64-autopkgtest-canary-abcdefghijkl"},
	} {
		if got := serverName(test.of); got != test.want || len(got) > longestName {
			t.Errorf("%s, want %s", got, test.want)
		}
	}
}

// TestTags: what is written is read, and what others write is not taken for ours.
func TestTags(t *testing.T) {
	t.Parallel()
	of := testbed.Testbed{Name: "autopkgtest-abcdefghijkl", Worker: strings.Repeat("w", 49), Run: "20261126-113607-1a2b3c4d"}
	tags := tagsOf(of)
	for _, text := range tags {
		if len(text) > longestTag || strings.ContainsAny(text, ",/") {
			t.Errorf("Nova does not take %q", text)
		}
	}
	o, ours := ownedBy(tags)
	if !ours || o.name != of.Name || o.Worker != of.Worker || o.Run != of.Run {
		t.Errorf("%+v, %v", o, ours)
	}
	if o, ours := ownedBy(strings.Fields(mark(tags))); !ours || o.name != of.Name || len(mark(tags)) > 255 {
		t.Errorf("of a description: %+v, %v", o, ours)
	}
	for name, tags := range map[string][]string{
		"no tags":            {},
		"others'":            {"production"},
		"not a testbed":      {ownTag, "worker:one", "testbed:x"},
		"not this project's": {kindTag, "worker:one", "testbed:x"},
		"nobody's":           {ownTag, kindTag, "testbed:x"},
		"without a name":     {ownTag, kindTag, "worker:one"},
	} {
		if _, ours := ownedBy(tags); ours {
			t.Errorf("%s: taken for ours", name)
		}
	}
	if got := tag("run:", "a,b/"+strings.Repeat("c", 80)); len(got) != longestTag || strings.ContainsAny(got, ",/") {
		t.Error(got)
	}
}

// TestPublic: the log of a test, which everybody reads, names neither files nor accounts of the operator's.
func TestPublic(t *testing.T) {
	t.Parallel()
	where := aRegion(t, "http://127.0.0.1:1/v3")
	told := where.NewError(openstack.ErrQuota, openstack.Compute, "403 Forbidden: Quota exceeded for cores", "ask for more")
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"a cloud's words": {told, "compute: 403 Forbidden: Quota exceeded for cores"},
		"two of them":     {errors.Join(told, nil, told), "compute: 403 Forbidden: Quota exceeded for cores; compute: 403 Forbidden: Quota exceeded for cores"},
		"a file":          {&os.PathError{Op: "open", Path: "/srv/secret.rc", Err: os.ErrNotExist}, "the testbed cannot be made or reached; the log of the worker tells why"},
	} {
		if got := public(test.err); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	if !strings.Contains(told.Error(), "cloud.rc") {
		t.Error("the operator is not told the file")
	}
}

// aRegion is one that nobody answers for.
func aRegion(t *testing.T, authURL string) *openstack.Region {
	t.Helper()
	r, err := OpenRegion(new(openstack.Sessions), rcFile(t, "lcy01", authURL))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func rcFile(t *testing.T, name, authURL string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cloud.rc")
	text := "export OS_AUTH_URL=" + authURL + "\nexport OS_USERNAME=joe\nexport OS_PASSWORD=S3KRIT\nexport OS_PROJECT_NAME=p\n" +
		"export OS_USER_DOMAIN_NAME=Default\nexport OS_PROJECT_DOMAIN_NAME=Default\nexport OS_REGION_NAME=" + name + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFurnish(t *testing.T) {
	t.Parallel()
	rc := rcFile(t, "lcy01", "http://127.0.0.1:1/v3")
	key := openstacktest.PrivateKey(t)
	b := backend{newRegions()}
	given := []string{"--rc-file", rc, "--key-file", key, "--flavor", "m1.small", "--image", "adt/.*", "-e", "A=b"}
	f, err := b.Furnish(testbed.Testbed{Name: "autopkgtest-x", Release: "noble", Architecture: "amd64", Worker: "w", Given: given})
	if err != nil {
		t.Fatal(err)
	}
	whole := strings.Join(f.Environment, "\n") + strings.Join(b.Arguments(testbed.Testbed{Given: given}), " ")
	for _, text := range f.Files {
		whole += text
	}
	if strings.Contains(whole, "S3KRIT") || strings.Contains(whole, "PRIVATE KEY") {
		t.Error("a secret is in what the run sees")
	}
	if !strings.Contains(f.Files[planPath], "ssh-ed25519 AAAA") {
		t.Error("without a key pair, the key has to get into the server in another way")
	}
	for name, test := range map[string]struct {
		change func() []string
		reason string
	}{
		"unknown option": {func() []string { return append(given, "--poll") }, "unknown flag"},
		"no key":         {func() []string { return []string{"--rc-file", rc, "--flavor", "f", "--image", "i"} }, "nobody could log in"},
		"missing key": {func() []string {
			return []string{"--rc-file", rc, "--key-file", key + "x", "--flavor", "f", "--image", "i"}
		}, "read the testbeds' key"},
	} {
		if _, err := b.Furnish(testbed.Testbed{Given: test.change()}); err == nil || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Furnish(testbed.Testbed{Given: given}); !errors.Is(err, config.ErrExposed) {
		t.Errorf("a key that others can read: %v", err)
	}
	if err := os.Chmod(rc, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRegion(new(openstack.Sessions), rc); !errors.Is(err, config.ErrExposed) {
		t.Errorf("an RC file that others can read: %v", err)
	}
}

// TestCleanWithoutAccount: a run that ended before anything was begun asks no cloud.
func TestCleanWithoutAccount(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	remains := testbed.Remains{Folders: map[string]string{accountFolder: folder}}
	b := backend{newRegions()}
	if err := b.Clean(t.Context(), remains); err != nil {
		t.Error(err)
	}
	closed := record{Source: "/no/such.rc", Servers: []string{"x"}, Opened: true, Closed: true}
	if err := (account{folder}).write(closed); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Clean(t.Context(), remains); err != nil {
			t.Error(err)
		}
	}
}

// TestFailedOpen: the worker is told the whole story, whatever the public one says.
func TestFailedOpen(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := Setup{Plan: Plan{Source: "x.rc", Account: folder}, Region: aRegion(t, "http://127.0.0.1:1/v3"), Answers: t.Output(), Says: t.Output()}
	ctx, cancel := context.WithTimeout(t.Context(), 100*1000*1000)
	defer cancel()
	if err := s.Open(ctx); !errors.Is(err, openstack.ErrUnavailable) {
		t.Fatal(err)
	}
	said, err := account{folder}.read()
	if err != nil || said.Failure == nil || !said.Failure.Region || !strings.Contains(said.Failure.Text, "cloud.rc") || said.Opened {
		t.Errorf("%+v, %v", said, err)
	}
}
