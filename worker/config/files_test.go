package config

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/secret/secrettest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// file is one kind of configuration file: an example, its golden file, and its reader.
type file struct {
	golden string
	value  any
	bytes  []byte
	load   func(path string) (any, error)
}

func loader[T any](load func(string) (T, error)) func(string) (any, error) {
	return func(path string) (any, error) { return load(path) }
}

func files() map[string]file {
	worker := Worker{
		BrokerCredentials: "/srv/stack/credentials/worker", StoreCredentials: "/srv/my stack/credentials/swift",
		Releases: []string{"bookworm", "noble"}, Architectures: []string{"amd64", "i386"}, Contexts: []string{"", "huge"},
		Weights: map[string]int{"": 5, "ppa": 2, "huge": 1, "upstream": 1}, Slots: 4, SpoolLimit: 20, SpoolPatience: DefaultSpoolPatience,
		StateDirectory: "/srv/stack/services/worker/data", Timeout: 8 * time.Hour, DrainTimeout: 90 * time.Minute,
		Backend: "unshare", ListDirectory: "/srv/lists", PPA: DefaultPPA, Limits: DefaultLimits,
		Images: "/srv/stack/images", HealthListen: "127.0.0.1:20490", DeliveryTimeout: 48 * time.Hour,
	}
	collector := Collector{
		BrokerCredentials: "/srv/stack/credentials/web", StoreURL: "http://127.0.0.1:20484/v1/AUTH_autopkgtest",
		Releases: []string{"noble"}, Architectures: []string{"amd64"}, Listen: "[::1]:20489",
		Database: "/srv/stack/services/web/data/autopkgtest.db", ExternalURL: "https://autopkgtest.example.com/base",
	}
	image := Image{
		Release: "bookworm", Architecture: "amd64", Directory: "/srv/stack/images", Mirror: "http://mirror.example.com/debian",
		Every: 36 * time.Hour, Include: []string{"eatmydata", "dpkg-dev"},
	}
	cloudImage := Image{
		Release: "noble", Architecture: "amd64", Directory: "/srv/stack/images", Every: 24 * time.Hour,
		Cloud: &CloudImage{
			Name: "autopkgtest/noble-amd64", Source: "https://cloud-images.example.com/noble/current/noble-server-cloudimg-amd64.img",
			Checksum: "https://cloud-images.example.com/noble/current/SHA256SUMS", Canary: CanaryTests,
			Nova: Nova{
				RCFiles: []string{"/etc/autopkgtest-cloud/lcy01.rc", "/etc/autopkgtest-cloud/lgw01.rc"}, KeyFile: "/srv/key",
				Flavor: "m1.small", Options: []string{"--net-id", "net_scalingstack", "-e", "no_proxy=a, b"},
			},
		},
	}
	operator := Operator{
		WebURL: "http://127.0.0.1:20489", BrokerCredentials: "/srv/stack/credentials/britney",
		ManagementURL: "https://broker.example.com:15671", ManagementCredentials: "/srv/stack/credentials/rabbitmq-admin",
		ManagementAuthority: "/srv/stack/services/rabbitmq/tls/ca.pem",
	}
	checkout := worker
	checkout.CheckoutDir = "/srv/autopkgtest"
	inline := Operator{WebURL: "http://127.0.0.1:20489", BrokerURI: "amqp://test_request:hunter2@127.77.0.1"}
	return map[string]file{
		"worker":            {"worker.conf", worker, worker.Bytes(), loader(LoadWorker)},
		"worker, checkout":  {"worker-checkout.conf", checkout, checkout.Bytes(), loader(LoadWorker)},
		"collector":         {"collector.conf", collector, collector.Bytes(), loader(LoadCollector)},
		"image":             {"image.conf", image, image.Bytes(), loader(LoadImage)},
		"image of a cloud":  {"image-cloud.conf", cloudImage, cloudImage.Bytes(), loader(LoadImage)},
		"operator":          {"autopkgtest-cloud.conf", operator, operator.Bytes(), loader(LoadOperator)},
		"operator, account": {"autopkgtest-cloud-account.conf", inline, inline.Bytes(), loader(LoadOperator)},
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for name, f := range files() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden := filepath.Join("testdata", f.golden)
			if *update {
				if err := os.WriteFile(golden, f.bytes, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(f.bytes)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", golden, diff)
			}
			got, err := f.load(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(f.value, got, comparing); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		})
	}
}

// reveal compares secrets by content; go-cmp would print them masked in any case.
var reveal = cmp.Comparer(func(a, b Secret) bool { return a.Reveal() == b.Reveal() })

// comparing is for what has addresses besides.
var comparing = cmp.Options{reveal, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.conf")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const minimalWorker = `[amqp]
credentials_file = /a
[swift]
credentials_file = /b
[autopkgtest]
releases = noble
architectures = amd64
slots = 1
state_directory = /c
[unshare]
images = /d
`

func TestDefaults(t *testing.T) {
	t.Parallel()
	worker, err := LoadWorker(write(t, minimalWorker))
	if err != nil {
		t.Fatal(err)
	}
	want := Worker{
		BrokerCredentials: "/a", StoreCredentials: "/b", Releases: []string{"noble"}, Architectures: []string{"amd64"},
		Contexts: []string{"", "huge", "ppa", "upstream"}, Weights: DefaultWeights, Slots: 1, SpoolLimit: 16, SpoolPatience: DefaultSpoolPatience,
		StateDirectory: "/c", Timeout: 8 * time.Hour, DrainTimeout: 8 * time.Hour, Backend: "unshare", Images: "/d",
		PPA: DefaultPPA, Limits: DefaultLimits,
	}
	if diff := cmp.Diff(want, worker, comparing); diff != "" {
		t.Errorf("worker (-want +got):\n%s", diff)
	}
	image, err := LoadImage(write(t, "[image]\nrelease = noble\narchitecture = amd64\ndirectory = /a\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Image{Release: "noble", Architecture: "amd64", Directory: "/a", Every: 24 * time.Hour}); !cmp.Equal(want, image) {
		t.Errorf("image (-want +got):\n%s", cmp.Diff(want, image))
	}
}

func TestDurationText(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		48 * time.Hour:                  "48h",
		90 * time.Minute:                "1h30m",
		10 * time.Minute:                "10m",
		90 * time.Second:                "1m30s",
		30 * time.Second:                "30s",
		time.Hour + 30*time.Second:      "1h0m30s",
		100 * time.Hour:                 "100h",
		1500 * time.Millisecond:         "1.5s",
		20*time.Hour + 10*time.Minute:   "20h10m",
		10*time.Minute + 10*time.Second: "10m10s",
	} {
		got := DurationText(d)
		back, err := time.ParseDuration(got)
		if got != want || err != nil || back != d {
			t.Errorf("%s: got %q, want %q", d, got, want)
		}
	}
}

// TestContextsAreTheRequests keeps the list here, where package request may not be imported, equal to the real one.
func TestContextsAreTheRequests(t *testing.T) {
	t.Parallel()
	var want []string
	for _, context := range request.Contexts {
		want = append(want, string(context))
	}
	if diff := cmp.Diff(want, contexts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestForms(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(minimalWorker, "releases = noble", "\t; comment\n# comment\n  releases=noble   jammy\ncontexts = ppa normal\ntimeout = 90m")
	worker, err := LoadWorker(write(t, "\n"+strings.ReplaceAll(text, "\n", "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(worker.Releases, []string{"noble", "jammy"}) || !slices.Equal(worker.Contexts, []string{"ppa", ""}) ||
		worker.Timeout != 90*time.Minute || worker.DrainTimeout != 90*time.Minute {
		t.Errorf("%+v", worker)
	}
	// Nothing in a value is a comment, an escape or a quote.
	for _, value := range []string{"/a # b", "/a ; b", `/a\`, `"/a"`, "'/a'", "/a=b", "/%(x)s", "$HOME", "/ä"} {
		operator, err := LoadOperator(write(t, "[amqp]\ncredentials_file = "+value+"\n"))
		if err != nil || operator.BrokerCredentials != value {
			t.Errorf("%s is read as %q, %v", value, operator.BrokerCredentials, err)
		}
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	replace := func(part, by string) string {
		if !strings.Contains(minimalWorker, part) {
			t.Fatalf("%q is not in the example", part)
		}
		return strings.Replace(minimalWorker, part, by, 1)
	}
	for name, test := range map[string]struct {
		content string
		line    string // ":LINE:" or empty when a line cannot be given
		reason  string
	}{
		"unknown section":       {minimalWorker + "[nove]\nflavor = x\n", ":12:", "unknown section [nove]"},
		"unknown key":           {replace("slots", "slot"), ":8:", `unknown key "slot" in [autopkgtest]`},
		"key of another case":   {replace("slots", "Slots"), ":8:", `unknown key "Slots"`},
		"key twice":             {replace("slots = 1", "slots = 1\nslots = 2"), ":9:", "[autopkgtest] slots is already in line 8"},
		"section twice":         {minimalWorker + "[amqp]\n", ":12:", "section [amqp] is already in line 1"},
		"before any section":    {"slots = 1\n" + minimalWorker, ":1:", "before the first section"},
		"no equals sign":        {replace("slots = 1", "slots 1"), ":8:", "neither a section, a comment nor KEY = VALUE"},
		"unknown key alone":     {replace("slots = 1", "slot"), ":8:", `unknown key "slot"`},
		"colon":                 {replace("slots = 1", "slots: 1"), ":8:", "neither a section, a comment nor KEY = VALUE"},
		"open section":          {replace("[swift]", "[swift"), ":3:", "a section is [NAME]"},
		"continued line":        {replace("releases = noble", "releases = noble\n  jammy"), ":7:", `unknown key "jammy"`},
		"quoted lines":          {replace("releases = noble", "releases = \"\"\"noble\njammy\"\"\""), ":6:", "one line without quotes"},
		"missing key":           {replace("releases = noble\n", ""), "", "[autopkgtest] releases: missing"},
		"key alone":             {replace("releases = noble", "releases"), ":6:", "[autopkgtest] releases: missing"},
		"missing section":       {replace("[unshare]\nimages = /d\n", ""), "", "[unshare] images: missing"},
		"empty value":           {replace("images = /d", "images ="), ":11:", "missing"},
		"no number":             {replace("slots = 1", "slots = many"), ":8:", `"many" is not a number of at least 1`},
		"number with a comment": {replace("slots = 1", "slots = 1 # one"), ":8:", "is not a number"},
		"too small a number":    {replace("slots = 1", "slots = 0"), ":8:", "at least 1"},
		"no duration":           {replace("slots = 1", "slots = 1\ntimeout = 8"), ":9:", "is not a duration"},
		"negative duration":     {replace("slots = 1", "slots = 1\ndrain_timeout = -1h"), ":9:", "is not a duration"},
		"delivery at once":      {replace("credentials_file = /a", "credentials_file = /a\ndelivery_timeout = 0s"), ":3:", "is not a duration"},
		"release with a dash":   {replace("noble", "trixie-backports"), ":6:", "has a dash"},
		"release twice":         {replace("noble", "noble noble"), ":6:", "there twice"},
		"release of a path":     {replace("noble", "../noble"), ":6:", "is not a word"},
		"unknown context":       {replace("slots = 1", "slots = 1\ncontexts = normal big"), ":9:", `unknown context "big": the contexts are normal huge ppa upstream`},
		"context twice":         {replace("slots = 1", "slots = 1\ncontexts = ppa ppa"), ":9:", "there twice"},
		"address without port":  {minimalWorker + "[health]\nlisten = localhost\n", ":13:", "is not ADDRESS:PORT"},
		"address, port by name": {minimalWorker + "[health]\nlisten = localhost:http\n", ":13:", "is not ADDRESS:PORT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := write(t, test.content)
			_, err := LoadWorker(path)
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v, want ErrInvalid", err)
			}
			if !strings.Contains(err.Error(), path+test.line) || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("error %q, want one with %q that says %q", err, path+test.line, test.reason)
			}
		})
	}
}

func TestRefusesCloudImages(t *testing.T) {
	t.Parallel()
	const image = "[image]\nrelease = noble\narchitecture = amd64\ndirectory = /a\n"
	const cloud = "[cloud]\nname = a\nsource = /disk.img\n[nova]\nrc_files = /rc\nflavor = m1\n"
	if got, err := LoadImage(write(t, image+cloud)); err != nil || got.Cloud == nil || got.Cloud.Canary != CanaryTests {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err := LoadImage(write(t, image+strings.Replace(cloud, "source = /disk.img\n", "", 1))); err != nil || got.Cloud.Source != "" {
		t.Errorf("a disk that is built: %+v, %v", got.Cloud, err)
	}
	for name, test := range map[string]struct{ old, new, reason string }{
		"no disk":       {"source = /disk.img", "checksum = /sums", "a disk that is built has none"},
		"no name":       {"name = a\n", "", "[cloud] name: missing"},
		"name":          {"name = a", "name = a,b", "is not a name of"},
		"relative":      {"/disk.img", "disk.img", "neither an absolute path"},
		"password":      {"/disk.img", "https://me:secret@example.com/a", "the password in this URL"},
		"no checksum":   {"/disk.img", "https://example.com/a", "[cloud] checksum: missing: a disk that comes over a network"},
		"checksum":      {"/disk.img", "/disk.img\nchecksum = abc", "neither the 64"},
		"canary":        {"/disk.img", "/disk.img\ncanary = none", "neither tests nor boot"},
		"no clouds":     {"rc_files = /rc\n", "", "[nova] rc_files: missing"},
		"no flavor":     {"flavor = m1\n", "", "[nova] flavor: missing"},
		"not an option": {"flavor = m1", "flavor = m1\nnovaopts = --image x", "[nova] novaopts"},
		"the worker's":  {"flavor = m1", "flavor = m1\nimage_pattern = x", "unknown key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := LoadImage(write(t, image+strings.Replace(cloud, test.old, test.new, 1)))
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), test.reason) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v, want one that says %q", err, test.reason)
			}
		})
	}
}

func TestRefusesURLs(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"example.com", "ftp://example.com", "http://", "//example.com", "http://[::1", "amqp://x"} {
		if _, err := LoadOperator(write(t, "[web]\nurl = "+url+"\n")); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: error %v, want ErrInvalid", url, err)
		}
	}
}

func TestNoFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "no.conf")
	if _, err := LoadWorker(path); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names %s", err, path)
	}
}

// site is the configuration of the existing site, as run-autopkgtest finds it.
const site = `[web]
database=/srv/autopkgtest.db
database_public=/srv/public/autopkgtest.db
external_swift_url=https://swift.example.com/v1/AUTH_x
releases=noble jammy
stats_cache_dir=/srv/stats
ppa_containers_cache_dir=/srv/ppas
archive_url=http://archive.example.com/ubuntu
amqp_queue_cache=/srv/queued.json
running_cache=/srv/running.json
alert=/srv/alert.txt
allowed_requestors=a-team,b-team

[amqp]
uri=amqp://test_request:hunter2@broker.example.com

[swift]
os_auth_url=https://keystone.example.com:5000/v3
os_password=x

[github]
secrets=/srv/github-secrets.json
status_credentials=/srv/github-status.txt
`

func TestSite(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		load    func(string) (Operator, error)
		content string
	}{
		"as ours":               {LoadOperator, site},
		"as it is":              {LoadSite, site},
		"with unknown keys":     {LoadSite, site + "[later]\nkey=value\n"},
		"in Python's dialect":   {LoadSite, "# comment\n[web]\nreleases:\n  noble\n  jammy\nalone\n[amqp]\nuri : amqp://test_request:hunter2@broker.example.com\n"},
		"with a key of its own": {LoadSite, "[amqp]\nuri=amqp://test_request:hunter2@broker.example.com\nvhost=/\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			operator, err := test.load(write(t, test.content))
			if err != nil {
				t.Fatal(err)
			}
			got, err := operator.Broker()
			if err != nil {
				t.Fatal(err)
			}
			want := Broker{Username: "test_request", Password: "hunter2", Host: "broker.example.com", Port: 5672, VHost: "/"}
			if diff := cmp.Diff(want, got, reveal); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := LoadOperator(write(t, site+"[later]\nkey=value\n")); !errors.Is(err, ErrInvalid) {
		t.Errorf("an unknown section in our own file: error %v, want ErrInvalid", err)
	}
	if _, err := LoadOperator(write(t, "[amqp]\nuri=amqp://u:hunter2@h\ncredentials_file=/x\n")); !errors.Is(err, ErrInvalid) {
		t.Errorf("two accounts: error %v, want ErrInvalid", err)
	} else {
		secrettest.HiddenIn(t, password, "the error", err.Error())
	}
}
