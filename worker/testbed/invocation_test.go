package testbed

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

var update = flag.Bool("update", false, "write the golden files anew")

// invocation is a request of the gatekeeper in the Ubuntu cloud; cases change one thing each.
func invocation(change func(*Invocation)) Invocation {
	i := Invocation{
		Program: "autopkgtest", OutputDir: "/out",
		Request:             request.Request{Package: "gzip", Triggers: []string{"gzip/1.12-1", "zlib/1:1.3+dfsg-1"}},
		Queue:               request.Queue{Release: "noble", Architecture: "amd64"},
		Pockets:             []string{"proposed"},
		TestbedArchitecture: "amd64",
		Timeouts:            DefaultTimeouts,
		Backend:             []string{"unshare", "--release", "noble", "--arch", "amd64", "--tarball", "/images/noble-amd64.tar.zst"},
	}
	if change != nil {
		change(&i)
	}
	return i
}

// TestArgumentsGolden shows whole command lines, in the order of the contract.
func TestArgumentsGolden(t *testing.T) {
	t.Parallel()
	for name, i := range map[string]Invocation{
		"gatekeeper": invocation(nil),
		"everything": invocation(func(i *Invocation) {
			i.Queue = request.Queue{Context: request.PPA, Release: "noble", Architecture: "riscv64"}
			i.Features = Features{PPA: true, ForeignArchitecture: true}
			i.Sources.Lines = []string{"ppa:joe/foo", "ppa:team/bar:0123ABCD"}
			i.Request.PPAs = []string{"joe/foo", "team/bar:0123ABCD"}
			i.Timeouts = DefaultTimeouts.For("riscv64", Traits{})
			i.Request.AllProposed = true
			i.Request.Env = []string{"A=one two", "B=$HOME; rm -rf /"}
			i.Request.TestName = "smoke test"
			i.Request.TestGit = "https://example.org/gzip.git#main"
			i.ExtraArguments = []string{"--no-apt-fallback", "--shell-fail"}
			i.SetupCommands = []string{"echo first; echo 'still first'", "", "echo second"}
			i.Debug = true
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args, err := i.Arguments()
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(args, "\n") + "\n"
			golden := filepath.Join("testdata", name+".argv")
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
		})
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*Invocation)
		with   []string // arguments that must follow each other
		not    string   // a beginning that no argument may have
	}{
		"package":          {nil, []string{"--apt-upgrade", "gzip", "--timeout-short=300"}, "--debug"},
		"triggers":         {nil, []string{"--env=ADT_TEST_TRIGGERS=gzip/1.12-1 zlib/1:1.3+dfsg-1", "--"}, "--testname"},
		"proposed sources": {nil, []string{"--apt-pocket=proposed=src:gzip,src:zlib", "--apt-upgrade"}, "-a"},
		"one source twice": {func(i *Invocation) { i.Request.Triggers = []string{"a/1", "a/2"} },
			[]string{"--apt-pocket=proposed=src:a", "--apt-upgrade"}, "-a"},
		"no triggers": {func(i *Invocation) { i.Request.Triggers = nil },
			[]string{"/out", "--apt-upgrade", "gzip"}, "--env"},
		"reference": {func(i *Invocation) { i.Request.Triggers = []string{request.Reference} },
			[]string{"/out", "--apt-upgrade", "gzip"}, "--apt-pocket"},
		"reference beside a package": {func(i *Invocation) { i.Request.Triggers = []string{request.Reference, "a/1"} },
			[]string{"--apt-pocket=proposed=src:a", "--apt-upgrade"}, "-a"},
		"all proposed": {func(i *Invocation) { i.Request.AllProposed = true },
			[]string{"/out", "--apt-pocket=proposed", "--apt-upgrade"}, "--apt-pocket=proposed="},
		"all proposed, no triggers": {func(i *Invocation) { i.Request.AllProposed, i.Request.Triggers = true, nil },
			[]string{"--apt-pocket=proposed", "--apt-upgrade"}, "--env"},
		"an archive without pockets": {func(i *Invocation) { i.Pockets = nil },
			[]string{"/out", "--apt-upgrade", "gzip"}, "--apt-pocket"},
		"an archive without pockets, all proposed": {func(i *Invocation) { i.Pockets, i.Request.AllProposed = nil, true },
			[]string{"/out", "--apt-upgrade", "gzip"}, "--apt-pocket"},
		"a trigger that would be a script": {func(i *Invocation) { i.Request.Triggers = []string{"$(id)/1", "a/1"} },
			[]string{"--apt-pocket=proposed=src:a", "--apt-upgrade"}, "-a"},
		"PPA": {func(i *Invocation) { i.Sources.Lines, i.Request.PPAs = []string{"ppa:joe/foo"}, []string{"joe/foo"} },
			[]string{"/out", "--add-apt-source=ppa:joe/foo", "--apt-upgrade"}, "--apt-pocket"},
		"PPA and all proposed": {func(i *Invocation) {
			i.Sources.Lines, i.Request.PPAs, i.Request.AllProposed = []string{"ppa:joe/foo"}, []string{"joe/foo"}, true
		}, []string{"--add-apt-source=ppa:joe/foo", "--apt-pocket=proposed", "--apt-upgrade"}, "--apt-pocket=proposed="},
		"test-git": {func(i *Invocation) { i.Request.TestGit = "https://example.org/x.git" },
			[]string{"/out", "--apt-upgrade", "--no-built-binaries", "https://example.org/x.git", "--timeout-short=300"}, "--apt-pocket"},
		"build-git": {func(i *Invocation) { i.Request.BuildGit = "https://example.org/x.git#b" },
			[]string{"--apt-pocket=proposed=src:gzip,src:zlib", "--apt-upgrade", "https://example.org/x.git#b"}, "--no-built"},
		"both gits": {func(i *Invocation) {
			i.Request.TestGit, i.Request.BuildGit = "https://example.org/t", "https://example.org/b"
		},
			[]string{"--no-built-binaries", "https://example.org/t", "--timeout-short=300"}, "https://example.org/b"},
		"source tree": {func(i *Invocation) { i.Source = "/source/x" },
			[]string{"--no-built-binaries", "/source/x/", "--timeout-short=300"}, "gzip"},
		"null": {func(i *Invocation) { i.Backend = []string{"null"} },
			[]string{"/out", "gzip", "--timeout-short=300"}, "--apt-"},
		"foreign architecture": {func(i *Invocation) {
			i.Features.ForeignArchitecture, i.Queue.Architecture = true, "i386"
		}, []string{"/out", "-a", "i386", "--apt-pocket=proposed=src:gzip,src:zlib"}, "--needs-internet"},
		"a testbed of unknown architecture": {func(i *Invocation) { i.TestbedArchitecture = "" },
			[]string{"/out", "--apt-pocket=proposed=src:gzip,src:zlib"}, "-a"},
		"riscv64": {func(i *Invocation) { i.Queue.Architecture, i.TestbedArchitecture = "riscv64", "riscv64" },
			[]string{"/out", "--needs-internet=skip", "--apt-pocket=proposed=src:gzip,src:zlib"}, "-a"},
		"copies": {func(i *Invocation) {
			i.Sources = Sources{Lines: []string{" deb x"}, Copies: []Copy{{Name: "k", To: "/etc/k"}, {Name: "a", To: "/etc/a", Secret: true}}}
			i.Request.PPAs, i.SetupCommands = []string{"joe/foo"}, []string{"first"}
		}, []string{"--setup-commands", "first", "--copy=/setup/k:/etc/k", "--copy=/setup/a:/etc/a", "--add-apt-source= deb x",
			"--setup-commands", "chown 0:0 /etc/a && chmod 0600 /etc/a", "--apt-upgrade"}, "--apt-pocket"},
		"environment": {func(i *Invocation) { i.Request.Env = []string{"A=1 2", "B="} },
			[]string{"--timeout-build=20000", "--env=A=1 2", "--env=B=", "--env=ADT_TEST_TRIGGERS=gzip/1.12-1 zlib/1:1.3+dfsg-1", "--"}, "-a"},
		"test name": {func(i *Invocation) { i.Request.TestName = "smoke" },
			[]string{"--testname=smoke", "--", "unshare"}, "-a"},
		"debug": {func(i *Invocation) { i.Debug = true }, []string{"gzip", "--debug", "--timeout-short=300"}, "-a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args, err := invocation(test.change).Arguments()
			if err != nil {
				t.Fatal(err)
			}
			const between = "\n"
			if all := between + strings.Join(args, between) + between; !strings.Contains(all,
				between+strings.Join(test.with, between)+between) {
				t.Errorf("%q does not have %q", args, test.with)
			}
			for _, arg := range args[:len(args)-len(invocation(test.change).Backend)-1] {
				if strings.HasPrefix(arg, test.not) && (test.not != "-a" || arg == "-a") {
					t.Errorf("%q has %q", args, arg)
				}
			}
		})
	}
}

func TestArgumentsUnsupported(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Invocation){
		"foreign architecture with an old autopkgtest": func(i *Invocation) { i.Queue.Architecture = "i386" },
		"a package that would be an option":            func(i *Invocation) { i.Request.Package = "--shell" },
		"a package that would be a file of arguments":  func(i *Invocation) { i.Request.Package = "@/etc/passwd" },
		"a repository that would be an option":         func(i *Invocation) { i.Request.TestGit = "-x://y" },
		"no package":                                   func(i *Invocation) { i.Request.Package = "" },
		"more triggers than the kernel takes": func(i *Invocation) {
			i.Request.Triggers = []string{"a/" + strings.Repeat("1", maxArgument)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := invocation(change).Arguments()
			if !errors.Is(err, ErrUnsupported) {
				t.Fatalf("error = %v, want one that is ErrUnsupported", err)
			}
			if len(err.Error()) > 400 {
				t.Errorf("the error is too long: %v", err)
			}
		})
	}
}

func TestParseFeatures(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		help string
		want Features
	}{
		"5.28":  {"  --add-apt-source \"deb http://MIRROR SUITE COMPONENT...\"\n  --output-dir", Features{}},
		"newer": {"  -a ARCH, --architecture ARCH\n  --add-apt-source \"deb ...\" or ppa:OWNER/NAME", Features{PPA: true, ForeignArchitecture: true}},
	} {
		if got := parseFeatures(test.help); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}
