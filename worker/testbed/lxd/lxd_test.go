package lxd

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/programtest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

func TestArguments(t *testing.T) {
	t.Parallel()
	b, err := testbed.Lookup(Name)
	if err != nil {
		t.Fatal(err)
	}
	noble := testbed.Testbed{Release: "noble", Architecture: "arm64", Name: "autopkgtest-x"}
	if got := b.Arguments(noble); !slices.Equal(got, []string{"lxd", image}) {
		t.Errorf("arguments %q", got)
	}
	noble.Given = []string{"-r", "far", "far:autopkgtest/ubuntu/noble/arm64"}
	if got := b.Arguments(noble); !slices.Equal(got, append([]string{"lxd"}, noble.Given...)) {
		t.Errorf("the operator's: %q", got)
	}
	if !b.Properties().Privileged {
		t.Error("the daemon is root")
	}
}

// TestScripts finds slips in what only a real run would execute.
func TestScripts(t *testing.T) {
	t.Parallel()
	for _, script := range []string{start(testbed.Testbed{Image: "/images/x.tar.zst"}), client("autopkgtest-x")} {
		check := exec.Command("sh", "-n")
		check.Stdin = strings.NewReader(script)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, out, script)
		}
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i := range 1000 {
		line := ids("autopkgtest-" + strconv.Itoa(i))
		fields := strings.Split(strings.TrimSpace(line), ":")
		first, err := strconv.Atoi(fields[1])
		if err != nil || len(fields) != 3 || fields[0] != "root" || fields[2] != "65536" {
			t.Fatalf("%q", line)
		}
		if first <= 600_165_536 || first+idCount >= 1<<31 {
			t.Errorf("%d may be somebody's, or is taken for negative", first)
		}
		seen[line] = true
	}
	if len(seen) < 900 {
		t.Errorf("only %d of 1000 runs have ids of their own", len(seen))
	}
}

// TestClient looks at what the real client is called with.
func TestClient(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	programtest.Write(t, filepath.Join(folder, "lxc"), "#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
	ours := filepath.Join(t.TempDir(), "lxc")
	programtest.Write(t, ours, client("autopkgtest-run"))
	for name, test := range map[string]struct{ given, want []string }{
		"launch": {
			[]string{"launch", "--ephemeral", "image", "autopkgtest-lxd-abcdef", "-c", "a b=c"},
			[]string{"launch", "--ephemeral", "image", "autopkgtest-run-abcdef", "-c", "a b=c"},
		},
		"remote": {
			[]string{"delete", "--force", "far:autopkgtest-lxd-abcdef"},
			[]string{"delete", "--force", "far:autopkgtest-run-abcdef"},
		},
		"what a test executes": {
			[]string{"exec", "autopkgtest-lxd-abcdef", "--", "echo", "autopkgtest-lxd-abcdef", "--"},
			[]string{"exec", "autopkgtest-run-abcdef", "--", "echo", "autopkgtest-lxd-abcdef", "--"},
		},
		"the operator's own name": {[]string{"launch", "i", "--name", "worker1"}, []string{"launch", "i", "--name", "worker1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			call := exec.Command(ours, test.given...)
			call.Env = []string{"PATH=" + clientFolder + ":" + folder + ":/usr/bin:/bin"}
			out, err := call.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if diff := cmp.Diff(test.want, strings.Split(strings.TrimSpace(string(out)), "\n")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestRemoteOf(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"autopkgtest/ubuntu/noble/amd64":                                "",
		"-d -r far far:image -c limits.cpu=2":                           "far:",
		"--delete-existing --name worker1 --vm --remote far: far:image": "far:",
		"--remote=far image":                                            "far:",
		"image -r":                                                      "",
	} {
		if got := remoteOf(strings.Fields(line)); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestFurnishRefuses(t *testing.T) {
	t.Setenv("LXD_DIR", t.TempDir())
	if _, err := (backend{}).Furnish(testbed.Testbed{Given: []string{"image"}}); !errors.Is(err, errNoSocket) {
		t.Errorf("without a daemon: %v", err)
	}
	if _, err := (backend{}).Furnish(testbed.Testbed{}); !errors.Is(err, errNoImage) {
		t.Errorf("without an image: %v", err)
	}
	t.Setenv("LXD_CONF", t.TempDir())
	f, err := (backend{}).Furnish(testbed.Testbed{Name: "x", Given: []string{"-r", "far", "far:image"}})
	if err != nil || f.Shows[configInside] != os.Getenv("LXD_CONF") || f.Script != "" {
		t.Errorf("a remote: %+v, %v", f, err)
	}
}

// TestCleanGiven deletes the run's containers and no others.
func TestCleanGiven(t *testing.T) {
	folder := t.TempDir()
	calls := filepath.Join(folder, "calls")
	programtest.Write(t, filepath.Join(folder, "lxc"), `#!/bin/sh
if [ "$1" = list ]; then
    printf '%s\n' autopkgtest-run-abcdef autopkgtest-run-ghijkl autopkgtest-runner-abcdef autopkgtest-lxd-abcdef precious
    exit
fi
echo "$*" >>'`+calls+`'
`)
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	remains := testbed.Remains{Testbed: testbed.Testbed{Name: "autopkgtest-run", Given: []string{"-r", "far", "far:image"}}}
	if err := (backend{}).Clean(t.Context(), remains); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(calls)
	const want = "delete --force far:autopkgtest-run-abcdef\ndelete --force far:autopkgtest-run-ghijkl\n"
	if err != nil || string(got) != want {
		t.Errorf("called %q, error %v, want %q", got, err, want)
	}
	programtest.Write(t, filepath.Join(folder, "lxc"), "#!/bin/sh\necho 'no route to far' >&2\nexit 1\n")
	if err := (backend{}).Clean(t.Context(), remains); err == nil || !strings.Contains(err.Error(), "no route to far") {
		t.Errorf("a daemon that does not answer: %v", err)
	}
}
