package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// siteFolder is a worker.conf with a folder of lists beside it.
type siteFolder struct {
	t    *testing.T
	path string
	from source
}

const remoteSite = `[autopkgtest]
releases = noble trusty
architectures = i386
per_package_config_dir = LISTS
setup_command = echo $RELEASE
extra_args = --shell-fail

[virt]
args = lxd $VMOPT $REMOTE:$RELEASE/$ARCHITECTURE$VMFLAG $PACKAGESIZE
package_size_default = -c small
package_size_big = -c big
`

func newSiteFolder(t *testing.T, conf string) *siteFolder {
	t.Helper()
	f := &siteFolder{t: t, path: t.TempDir()}
	for name, content := range map[string]string{
		"big_packages": "green\n", "long_tests": "green\nblue\n", "never_run": "# Bug 7.\nred/amd64\n", "vm_packages": "green\n",
		"worker.conf": strings.ReplaceAll(conf, "LISTS", f.path),
	} {
		f.write(name, content)
	}
	f.from = source{path: filepath.Join(f.path, "worker.conf"), architectures: []string{"s390x", "amd64", "amd64"}, variables: []string{"REMOTE=r"}}
	return f
}

func (f *siteFolder) write(name, content string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.path, name), []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *siteFolder) load(before *site) *site {
	f.t.Helper()
	loaded, err := f.from.load(before, slog.New(slog.DiscardHandler))
	if err != nil {
		f.t.Fatal(err)
	}
	return loaded
}

func TestSite(t *testing.T) {
	t.Parallel()
	f := newSiteFolder(t, remoteSite)
	s := f.load(nil)
	if diff := cmp.Diff([]string{"amd64", "s390x"}, s.conf.Architectures); diff != "" {
		t.Errorf("the architectures of the command line (-want +got):\n%s", diff)
	}
	q := request.Queue{Release: "noble", Architecture: "amd64"}
	got := s.tailor(testbed.Job{Request: request.Request{Package: "green"}, Queue: q, Image: "/none"})
	want := testbed.Job{
		Request: request.Request{Package: "green"}, Queue: q, Traits: testbed.Traits{Big: true, Long: true, Machine: true},
		BackendArguments: []string{"lxd", "--vm", "r:noble/amd64/vm", "-c", "big"}, ExtraArguments: []string{"--shell-fail"},
		SetupCommands: []string{"echo noble"}, PPA: config.DefaultPPA,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("job (-want +got):\n%s", diff)
	}
	c := &current{site: s}
	for name, test := range map[string]struct {
		queue           request.Queue
		pkg             string
		reason, version string
	}{
		"never_run": {q, "red", "Its comment says: Bug 7.", "blacklisted"},
		"pair":      {request.Queue{Release: "trusty", Architecture: "s390x"}, "red", "No tests can be run on trusty s390x", "unknown"},
		"good":      {q, "blue", "", ""},
	} {
		reason, version, refuse := c.Refuse(test.queue, test.pkg)
		if version != test.version || refuse != (version != "") || !strings.Contains(reason, test.reason) {
			t.Errorf("%s: %v, %q, %q", name, refuse, version, reason)
		}
	}
	if err := c.check().Check(t.Context()); err != nil {
		t.Error(err)
	}

	// A list that breaks is told, also after the configuration was read again.
	f.write("never_run", "a b\n")
	f.write("worker.conf", strings.ReplaceAll(strings.Replace(remoteSite, "noble trusty", "noble", 1), "LISTS", f.path))
	c.set(f.load(s))
	if _, _, refuse := c.Refuse(q, "red"); !refuse || len(c.get().conf.Releases) != 1 {
		t.Error("reading the configuration again loses the last good list")
	}
	if err := c.check().Check(t.Context()); err == nil || !strings.Contains(err.Error(), "never_run: ") || !strings.Contains(err.Error(), "stays in force") {
		t.Errorf("a broken list: error %v", err)
	}
	f.write("worker.conf", strings.ReplaceAll(remoteSite, "LISTS", filepath.Join(f.path, "elsewhere")))
	c.set(f.load(c.get()))
	if err := c.check().Check(t.Context()); err == nil || strings.Count(err.Error(), "taken for empty") != 4 {
		t.Errorf("missing lists: error %v", err)
	}
}

func TestSiteRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*siteFolder)
		reason string
	}{
		"a variable without a value": {func(f *siteFolder) { f.from.variables = nil }, "$REMOTE has no value"},
		"no variable":                {func(f *siteFolder) { f.from.variables = []string{"REMOTE"} }, "KEY=VALUE"},
		"architecture":               {func(f *siteFolder) { f.from.architectures = []string{"amd-64"} }, "has a dash"},
		"words of a list": {
			func(f *siteFolder) {
				f.write("worker.conf", "[autopkgtest]\nreleases = noble\nbackend = lxc\nbig_packages = a/b/c/d\n")
			},
			"the list big_packages: line 1",
		},
	} {
		f := newSiteFolder(t, remoteSite)
		test.change(f)
		if _, err := f.from.load(nil, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: error %v, want one that says %q", name, err, test.reason)
		}
	}
}

func TestExposed(t *testing.T) {
	t.Parallel()
	f := newSiteFolder(t, "[amqp]\npassword = hunter2\n"+remoteSite)
	s := f.load(nil)
	if got := f.from.exposed(s.conf); got != "" {
		t.Errorf("a file of mode 0600: %s", got)
	}
	if err := os.Chmod(f.from.path, 0o640); err != nil {
		t.Fatal(err)
	}
	if got := f.from.exposed(s.conf); !strings.Contains(got, "chmod 600 "+f.from.path) || strings.Contains(got, "hunter2") {
		t.Errorf("a file of mode 0640: %s", got)
	}
	if got := f.from.exposed(config.Worker{}); got != "" {
		t.Errorf("a file without a password: %s", got)
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	f := newSiteFolder(t, remoteSite)
	s := f.load(nil)
	for q, want := range map[request.Queue]string{
		{Release: "noble", Architecture: "s390x"}: "in lxd r:noble/s390x -c small\tshort 300s, install 3000s, copy 900s, " +
			"build 20000s (long 40000s), test 10000s (big 20000s, long 40000s)",
		{Release: "trusty", Architecture: "s390x"}: "refuses all: trusty has no testbeds of s390x",
	} {
		if got := describeQueue(s, q); got != want {
			t.Errorf("%s: %q, want %q", q.Name(), got, want)
		}
	}
	var out bytes.Buffer
	describeRuns(&out, s)
	for _, want := range []string{"testbeds\tlxd\n", "big_packages\t1 entries, sha256 ", "long_tests may take 11h6m40s, but [autopkgtest] timeout ends it after 8h"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	out.Reset()
	describeRequest(&out, s, nil, errors.New("no\nrunner"), request.Request{Package: "red"})
	for _, want := range []string{
		"executes\tdebci-noble-amd64\tnothing: it ends with exit code 99 and version blacklisted: ",
		"executes\tdebci-noble-s390x\tnothing: no; runner\n", "debci-trusty-s390x\tnothing: it ends with exit code 99 and version unknown",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	out.Reset()
	s.conf.Contexts = []string{""}
	describeRequest(&out, s, nil, nil, request.Request{Package: "red", PPAs: []string{"a/b"}})
	if !strings.Contains(out.String(), `the context "ppa", of which this worker has no queue`) {
		t.Errorf("%s", out.String())
	}
}

func TestShown(t *testing.T) {
	t.Parallel()
	args := []string{
		"autopkgtest", "--env=A=b c", "--env=GITHUB_TOKEN=hunter2", "--env=ADT_TEST_TRIGGERS=keyutils/1", "--add-apt-source= deb x\n deb-src 'x'",
		"https://joe:hunter2@example.com/x.git#a@b", "-e", "http_proxy=http://u:hunter2@proxy:1", "--testname=\x1b[2J",
	}
	const want = `autopkgtest '--env=A=b c' '--env=GITHUB_TOKEN=***' --env=ADT_TEST_TRIGGERS=keyutils/1 ` +
		`$'--add-apt-source= deb x\n deb-src \'x\'' 'https://joe:***@example.com/x.git#a@b' -e 'http_proxy=http://u:***@proxy:1' $'--testname=\e[2J'`
	if got := shown(args); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	private := withoutSecrets([]string{"--env=A=b"}, request.Request{SwiftUser: "reader"})
	if private[0] != "--env=A=***" {
		t.Errorf("the environment of a private test: %q", private)
	}
}

func TestReadRequest(t *testing.T) {
	t.Parallel()
	const body = "green\n{\"triggers\": [\"green/1\"]}"
	path := filepath.Join(t.TempDir(), "request")
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	want := request.Request{Package: "green", Triggers: []string{"green/1"}}
	for name, in := range map[string]io.Reader{path: nil, "-": strings.NewReader(body)} {
		got, err := readRequest(name, in)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if _, err := readRequest("-", strings.NewReader("green {}")); !errors.Is(err, request.ErrMalformed) {
		t.Errorf("error %v, want ErrMalformed", err)
	}
	if _, err := readRequest(path+".none", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want os.ErrNotExist", err)
	}
}

// Results stay on this machine only if somebody says so.
func TestOpenStore(t *testing.T) {
	t.Parallel()
	conf := config.Worker{StateDirectory: t.TempDir(), StoreLocal: true}
	var log bytes.Buffer
	results, closeStore, err := openStore(conf, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore()
	if err := results.CreateContainer(t.Context(), "autopkgtest-noble", true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(localResults(conf)); err != nil || !strings.Contains(log.String(), "results stay on this machine") {
		t.Errorf("error %v, log %s", err, log.String())
	}
}

// A check leaves no trace, least of all a state directory of the wrong account.
func TestTryState(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, reason := range map[string]string{
		folder: "", filepath.Join(folder, "a/b"): "", file: "is not a directory", filepath.Join(file, "a"): "not a directory",
	} {
		err := tryState(config.Worker{StateDirectory: path})
		if (err == nil) != (reason == "") || err != nil && !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: error %v, want %q", path, err, reason)
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
