package testbed

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// lineCase is a request as it is on the wire, in a queue of a worker with a configuration.
type lineCase struct {
	queue    string
	body     string
	conf     func(*config.Worker)
	vars     Variables
	traits   Traits
	features Features
	stretch  int       // see Properties
	image    ImageInfo // of the unshare backend's image
}

// nameBackend is a backend that takes whatever it is given.
type nameBackend struct {
	name    string
	stretch int
}

func (b nameBackend) Name() string           { return b.name }
func (b nameBackend) Properties() Properties { return Properties{Stretch: b.stretch} }
func (b nameBackend) Arguments(t Testbed) []string {
	if t.Given != nil {
		return append([]string{b.name}, t.Given...)
	}
	return []string{b.name, "--release", t.Release, "--arch", t.Architecture, "--tarball", t.Image}
}

func (c lineCase) commandLine(t *testing.T) ([]string, error) {
	t.Helper()
	q, err := request.ParseQueue(c.queue)
	if err != nil {
		t.Fatal(err)
	}
	r, err := request.Parse([]byte(c.body))
	if err != nil {
		t.Fatal(err)
	}
	conf := config.Worker{Backend: "unshare", PPA: config.DefaultPPA}
	if c.conf != nil {
		c.conf(&conf)
	}
	profile, err := NewProfile(conf, c.vars)
	if err != nil {
		t.Fatal(err)
	}
	image := ImagePath(t.TempDir(), q)
	info, err := json.Marshal(c.image)
	if err := errors.Join(err, os.WriteFile(image, nil, 0o600), os.WriteFile(InfoPath(image), info, 0o600)); err != nil {
		t.Fatal(err)
	}
	runner := &Runner{backend: nameBackend{profile.Backend(), c.stretch}, program: "autopkgtest", features: c.features}
	return runner.CommandLine(profile.Apply(Job{Request: r, Queue: q, Image: image}, c.traits))
}

// virt is [virt] of a site that has remote machines.
func virt(conf *config.Worker) {
	conf.Virt = config.Virt{
		Arguments: "lxd --delete-existing --name $NAME $VMOPT -r $LXD_REMOTE " +
			"$LXD_REMOTE:autopkgtest/ubuntu/$RELEASE/$ARCHITECTURE$VMFLAG $PACKAGESIZE",
		PackageSizeDefault: "-c limits.cpu=2 -c limits.memory=4GiB -d root,size=20GiB",
		PackageSizeBig:     "-c limits.cpu=4 -c limits.memory=8GiB -d root,size=100GiB",
	}
}

func of2015(backend string) func(*config.Worker) {
	return func(conf *config.Worker) {
		conf.Backend = backend
		conf.SetupCommand = "if grep -q trusty /etc/lsb-release; then apt-get install -y build-essential; fi"
		conf.Nova = config.Nova{
			ImagePattern: "ubuntu/ubuntu-$RELEASE-.*-$ARCHITECTURE-server", Flavor: "m1.small", BigFlavor: "m1.large",
			Options: []string{"--keyname=testbed", "-e", "no_proxy=127.0.0.1, localhost $RELEASE"},
		}
		conf.LXC = config.LXC{Container: "adt-$RELEASE", Options: []string{"--eatmydata", "--sudo"}}
	}
}

func lineCases(t *testing.T) map[string]lineCase {
	keys := keyFolder(t, map[string][]byte{"joe/foo.asc": readKey(t, "key-rsa.asc"), "joe/secret.asc": readKey(t, "key-curve.asc")})
	withKeys := func(conf *config.Worker) { conf.PPA.Keys = keys }
	ubuntu := ImageInfo{Architecture: "amd64", Pockets: []string{"proposed"}}
	debian := ImageInfo{Architecture: "amd64"}
	names := Variables{"NAME": "worker1-amd64", "LXD_REMOTE": "remote1"}
	newer := Features{PPA: true, ForeignArchitecture: true}
	const gatekeeper = "gzip\n" + `{"triggers": ["gzip/1.12-1", "zlib/1:1.3+dfsg-1"], "submit-time": "2026-11-22 01:21:27"}`
	return map[string]lineCase{
		// By sender.
		"gatekeeper":        {queue: "debci-noble-amd64", body: gatekeeper, image: ubuntu},
		"gatekeeper-debian": {queue: "debci-bookworm-amd64", body: gatekeeper, image: debian},
		"gatekeeper-huge":   {queue: "debci-huge-noble-amd64", body: gatekeeper, image: ubuntu},
		"reference": {
			queue: "debci-noble-amd64", image: ubuntu,
			body: "gzip\n" + `{"triggers": ["migration-reference/0"], "submit-time": "2026-11-22 01:21:27"}`,
		},
		"website": {
			queue: "debci-noble-amd64", image: ubuntu, body: "gzip\n" + `{"all-proposed": "1", "requester": "joe", "readable-by": "a-team", ` +
				`"submit-time": "2026-11-22 01:21:27+0000", "triggers": ["gzip/1.12-1"], "test-bzr": "lp:gzip", "later": {"x": 1}}`,
		},
		"package-only": {queue: "debci-noble-amd64", image: ubuntu, body: "gzip"},
		"webhook": {
			queue: "debci-upstream-noble-amd64", image: ubuntu, features: newer,
			body: "gzip\n" + `{"build-git": "https://git.example.com/gzip.git#refs/pull/7/head", "ppas": ["joe/foo"], ` +
				`"env": ["UPSTREAM_PULL_REQUEST=7", "GITHUB_STATUSES_URL=https://api.example.com/7"], "testname": "smoke test", ` +
				`"triggers": ["gzip/1.12-1"]}`,
		},
		"test-git": {
			queue: "debci-upstream-noble-amd64", image: ubuntu,
			body: "gzip\n" + `{"test-git": "https://git.example.com/gzip.git#main", "all-proposed": "1", "triggers": ["gzip/1.12-1"]}`,
		},
		"run-autopkgtest-ppa": {
			queue: "debci-ppa-noble-amd64", image: ubuntu, conf: withKeys, body: "gzip\n" + `{"ppas": ["joe/foo"], ` +
				`"env": ["A=one two", "B=$HOME; rm -rf /"], "submit-time": "2026-11-22 01:21:27.123456+0000", "triggers": ["gzip/1.12-1"]}`,
		},
		"ppa-all-proposed": {
			queue: "debci-ppa-noble-amd64", image: ubuntu, conf: withKeys,
			body: "gzip\n" + `{"ppas": ["joe/foo", "joe/foo:` + rsaFingerprint + `"], "all-proposed": "1", "triggers": ["gzip/1.12-1"]}`,
		},
		"private": {
			queue: "debci-ppa-noble-amd64", image: ubuntu, conf: withKeys, features: newer,
			body: "gzip\n" + `{"ppas": ["joe/public", "robot:S3KRIT@joe/secret"], "swiftuser": "reader", "readable-by": ["joe"], "triggers": ["gzip/1.12-1"]}`,
		},

		// By package.
		"big":          {queue: "debci-noble-amd64", body: gatekeeper, image: ubuntu, traits: Traits{Big: true}},
		"long":         {queue: "debci-noble-amd64", body: gatekeeper, image: ubuntu, traits: Traits{Long: true}},
		"big-and-long": {queue: "debci-noble-amd64", body: gatekeeper, image: ubuntu, traits: Traits{Big: true, Long: true}},
		"riscv64-long": {
			queue: "debci-noble-riscv64", body: gatekeeper, traits: Traits{Long: true},
			image: ImageInfo{Architecture: "riscv64", Pockets: []string{"proposed"}},
		},

		// By configuration.
		"configured": {queue: "debci-noble-amd64", body: gatekeeper, image: ubuntu, vars: Variables{"NAME": "n"}, conf: func(conf *config.Worker) {
			conf.ExtraArguments = []string{"--apt-default-release=noble updates", "--no-apt-fallback"}
			conf.SetupCommand, conf.SetupCommand2 = "echo $RELEASE $ARCHITECTURE '$NAME' $(id)", "echo second $HOME"
			conf.Debug = true
		}},
		"lxd":         {queue: "debci-noble-amd64", body: gatekeeper, conf: virt, vars: names},
		"lxd-debian":  {queue: "debci-bookworm-amd64", body: gatekeeper, conf: virt, vars: names},
		"lxd-machine": {queue: "debci-noble-amd64", body: gatekeeper, conf: virt, vars: names, traits: Traits{Big: true, Machine: true}},
		"lxd-s390x":   {queue: "debci-noble-s390x", body: gatekeeper, conf: virt, vars: names, traits: Traits{Big: true}},
		"lxd-i386":    {queue: "debci-noble-i386", body: gatekeeper, conf: virt, vars: names, features: newer},
		"nova":        {queue: "debci-trusty-i386", body: gatekeeper, conf: of2015("nova")},
		"nova-big":    {queue: "debci-trusty-amd64", body: gatekeeper, conf: of2015("nova"), traits: Traits{Big: true}},
		"lxc":         {queue: "debci-trusty-amd64", body: gatekeeper, conf: of2015("lxc")},
		"qemu": {queue: "debci-noble-amd64", body: gatekeeper, traits: Traits{Big: true}, stretch: 5, conf: func(conf *config.Worker) {
			conf.Virt = config.Virt{Arguments: "qemu $PACKAGESIZE /srv/$RELEASE-$ARCHITECTURE.img", PackageSizeBig: "--cpus=4 --ram-size=8192"}
		}},
		"null": {queue: "debci-noble-amd64", body: gatekeeper, conf: func(conf *config.Worker) {
			conf.Virt.Arguments = "null"
		}},
	}
}

// TestCommandLines shows, for requests of all known senders and configurations of all known sites, what is executed.
func TestCommandLines(t *testing.T) {
	t.Parallel()
	for name, c := range lineCases(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args, err := c.commandLine(t)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(args, "\n") + "\n"
			golden := filepath.Join("testdata", "lines", name+".argv")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("command line (-want +got):\n%s", diff)
			}
			if strings.Contains(got, "S3KRIT") {
				t.Error("the command line has a password")
			}
		})
	}
}

func TestCommandLineUnsupported(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		lineCase
		reason string
	}{
		"PPA without its key": {lineCase{queue: "debci-ppa-noble-amd64", body: "gzip\n" + `{"ppas": ["joe/foo"]}`}, "signing key is unknown"},
		"i386 with an old autopkgtest": {
			lineCase{queue: "debci-noble-i386", body: "gzip", conf: virt, vars: Variables{"NAME": "n", "LXD_REMOTE": "r"}}, "--architecture",
		},
	} {
		if _, err := test.commandLine(t); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: error %v, want ErrUnsupported that says %q", name, err, test.reason)
		}
	}
}

func TestNewProfileRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		conf   config.Worker
		vars   Variables
		reason string
	}{
		"variable":           {config.Worker{Virt: config.Virt{Arguments: "lxd $REMOTE:x"}}, nil, "[virt] args: $REMOTE has no value: start the worker with -v REMOTE=VALUE"},
		"another variable":   {config.Worker{Virt: config.Virt{Arguments: "lxd $REMOTE_2:x"}}, Variables{"REMOTES": "r"}, "$REMOTE_2 has no value"},
		"variable of a size": {config.Worker{Virt: config.Virt{Arguments: "lxd $PACKAGESIZE", PackageSizeBig: "-c $CPU"}}, nil, "$CPU has no value"},
		"variable of 2015":   {config.Worker{Backend: "nova", Nova: config.Nova{ImagePattern: "$SERIES.*$"}}, nil, "[nova]: $SERIES has no value"},
		"lxc":                {config.Worker{Backend: "lxc", LXC: config.LXC{Container: "adt-$SERIES"}}, nil, "[lxc]: $SERIES has no value"},
	} {
		_, err := NewProfile(test.conf, test.vars)
		if !errors.Is(err, errNoValue) || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: error %v, want one that says %q", name, err, test.reason)
		}
	}
}

func TestParseVariables(t *testing.T) {
	t.Parallel()
	got, err := ParseVariables([]string{"A=b", "_C1=", "D=e=f g"})
	if diff := cmp.Diff(Variables{"A": "b", "_C1": "", "D": "e=f g"}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, entries := range [][]string{{"A"}, {"=b"}, {"A B=c"}, {"1=c"}, {"RELEASE=noble"}, {"A=b", "A=b"}} {
		if got, err := ParseVariables(entries); err == nil {
			t.Errorf("%q: %v", entries, got)
		}
	}
}

// Of two names of which one begins with the other, the longer one counts, and a size may have variables in it.
func TestReplacement(t *testing.T) {
	t.Parallel()
	v := Variables{"RE": "short", "RELEASES": "long", "X": "$RELEASE"}
	r := v.replacement(request.Queue{Release: "noble", Architecture: "amd64"}, Traits{Machine: true}, "-s $RELEASE")
	for text, want := range map[string]string{
		"$RELEASE $RELEASES $RE $RELEA ${RELEASE} $": "noble long short shortLEA ${RELEASE} $",
		"$PACKAGESIZE$VMFLAG$VMOPT":                  "-s noble/vm--vm",
		"$X":                                         "$RELEASE", // once, not again
		"$ARCHITECTURES":                             "amd64S",
	} {
		if got := r.text(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		arch        string
		traits      Traits
		all         int64
		test, build int64
	}{
		"plain":         {"amd64", Traits{}, 1, 1, 1},
		"big":           {"amd64", Traits{Big: true}, 1, 2, 1},
		"long":          {"amd64", Traits{Long: true}, 1, 4, 2},
		"both":          {"amd64", Traits{Big: true, Long: true}, 1, 4, 2},
		"riscv64":       {"riscv64", Traits{}, 4, 4, 4},
		"riscv64, big":  {"riscv64", Traits{Big: true}, 4, 8, 4},
		"riscv64, long": {"riscv64", Traits{Long: true}, 4, 16, 8},
	} {
		got := DefaultTimeouts.For(test.arch, test.traits)
		d := DefaultTimeouts
		if int64(got.Short/d.Short) != test.all || int64(got.Install/d.Install) != test.all || int64(got.Copy/d.Copy) != test.all ||
			int64(got.Test/d.Test) != test.test || int64(got.Build/d.Build) != test.build {
			t.Errorf("%s: %+v of %+v", name, got, d)
		}
	}
}

func TestCanaryTimeout(t *testing.T) {
	t.Parallel()
	for want, p := range map[time.Duration]Properties{
		canaryLimit: {}, 3 * canaryLimit: {Stretch: 3}, canaryLimit + time.Minute: {Boots: time.Minute},
	} {
		if got := canaryTimeout(p); got != want {
			t.Errorf("%+v: %s, want %s", p, got, want)
		}
	}
}

func TestStretched(t *testing.T) {
	t.Parallel()
	if got := DefaultTimeouts.Stretched(0); got != DefaultTimeouts {
		t.Errorf("by nothing: %+v", got)
	}
	want := Timeouts{Short: 900 * time.Second, Install: 9000 * time.Second, Test: 30000 * time.Second, Copy: 2700 * time.Second,
		Build: 60000 * time.Second}
	if got := DefaultTimeouts.Stretched(3); got != want {
		t.Errorf("three times: %+v", got)
	}
}

// What is copied into a testbed lies in the run's folder, passwords readable by the account alone.
func TestWriteCopies(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "setup")
	err := writeCopies(folder, []Copy{{Name: "key", Content: []byte("k")}, {Name: authName, Content: []byte("S3KRIT"), Secret: true}})
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"key": 0o644, authName: 0o600} {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if err := writeCopies(filepath.Join(folder, "none"), nil); err != nil || exists(filepath.Join(folder, "none")) {
		t.Errorf("a folder for nothing: %v", err)
	}
}
