//go:build e2e

package examples

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// requestLimit is far above the half minute that the tests of gzip take.
const requestLimit = "10m"

// machineRelease is the release of this machine, which its own mirror has for sure.
func machineRelease(t *testing.T) (release, architecture string) {
	t.Helper()
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if name, found := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); found {
			release = strings.Trim(name, `"`)
		}
	}
	out, err := exec.Command("dpkg", "--print-architecture").Output()
	if err != nil || release == "" {
		t.Fatalf("what is this machine? release %q, %v", release, err)
	}
	return release, strings.TrimSpace(string(out))
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v\n%s", url, resp.Status, err, body)
	}
	return string(body)
}

// TestLocal is the promise of the whole project: one apply, one request with britney's credentials, one shown result; then
// what kills a process or loses the state does not matter, and nothing is left in the end.
func TestLocal(t *testing.T) {
	directory := newStack(t)
	release, architecture := machineRelease(t)
	cache := os.Getenv("AUTOPKGTEST_TEST_IMAGE_CACHE")
	if cache == "" {
		cache = filepath.Join(filepath.Dir(directory), "cache")
	}
	c := newCLI(t, "-var=stack=e2e", "-var=directory="+directory, "-var=release="+release,
		"-var=architecture="+architecture, "-var=image_cache="+cache)
	c.copyExample("local")
	trace := filepath.Join(c.work, "trace.log")
	c.env = append(c.env, "TF_LOG=trace", "TF_LOG_PATH="+trace)
	said := c.run("apply")
	c.planIsEmpty()

	page, britney, operator := c.output("page"), c.output("britney_credentials_file"), c.output("operator_configuration")
	request := func() {
		t.Helper()
		cmd := exec.Command(program(t, "autopkgtest-cloud"), "--config", operator, "request", "--credentials", britney,
			"--series", release, "--architecture", architecture, "--trigger", "migration-reference/0", "--wait",
			"--timeout", requestLimit, "gzip")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("request: %v\n%s", err, out)
		}
	}
	request()
	shown := get(t, strings.TrimSuffix(page, "/")+"/packages/g/gzip/"+release+"/"+architecture)
	if !strings.Contains(shown, "pass") {
		t.Errorf("the page does not show that gzip passed:\n%s", shown)
	}
	listing := get(t, c.output("results")+"/autopkgtest-"+release)
	if !strings.Contains(listing, release+"/"+architecture+"/g/gzip/") || !strings.Contains(listing, "/result.tar") {
		t.Errorf("the container does not list the result to everybody:\n%s", listing)
	}

	passwords := passwordsOf(t, directory)
	c.run("plan", "-out=plan")
	texts := map[string]string{
		"the output": said, "the state": c.run("state", "pull"), "the plan": c.run("show", "-json", "plan"),
	}
	killAll(t, directory)
	c.run("apply")
	c.planIsEmpty()
	loseState(t, c)
	if after := passwordsOf(t, directory); fmt.Sprint(after) != fmt.Sprint(passwords) {
		t.Error("the apply after a lost state changed a password")
	}
	importImage(t, c, directory+","+release+","+architecture)
	// With what the stack itself hands out, the operator rotates a user; the next plan has nothing to do.
	if out, err := exec.Command(program(t, "autopkgtest-cloud"), "--config", operator, "rotate", "britney").CombinedOutput(); err != nil {
		t.Errorf("rotate: %v\n%s", err, out)
	}
	c.planIsEmpty()
	// A test that runs while the broker is replaced is finished, and not started a second time.
	var requesting sync.WaitGroup
	requesting.Go(request)
	await(t, "the second request runs", func() bool {
		out, _ := exec.Command(program(t, "autopkgtest-cloud"), "--config", operator, "running").Output()
		return strings.Contains(string(out), "gzip")
	})
	c.run("apply", "-replace=autopkgtest_rabbitmq_server.broker")
	requesting.Wait()
	if n := strings.Count(get(t, c.output("results")+"/autopkgtest-"+release), "/result.tar"); n != 2 {
		t.Errorf("%d results of 2 requests", n)
	}
	c.planIsEmpty()

	logs, err := filepath.Glob(filepath.Join(directory, "log", "*", "*"))
	if err != nil || len(logs) == 0 {
		t.Errorf("no logs: %v", err)
	}
	for _, log := range append(logs, trace) {
		if content, err := os.ReadFile(log); err == nil && len(content) > 0 {
			texts[log] = string(content)
		}
	}
	holdNone(t, append(passwords, passwordsOf(t, directory)...), texts)
	c.run("destroy")
	nothingIsLeft(t, directory)
}

// killAll kills every process of the stack but the supervisors, and waits until the plan is silent about services again.
// The state is not touched: what comes back comes back by itself.
func killAll(t *testing.T, directory string) {
	t.Helper()
	for _, pid := range processes(directory, "") {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		switch strings.TrimSpace(string(name)) {
		case "runsvdir", "runsv", "svlogd":
		default:
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for ctx.Err() == nil && len(processes(directory, "rabbitmq")) == 0 {
		time.Sleep(100 * time.Millisecond)
	}
}

// loseState removes the state and applies again: everything is adopted.
func loseState(t *testing.T, c *cli) {
	t.Helper()
	for _, name := range []string{"terraform.tfstate", "terraform.tfstate.backup"} {
		if err := os.Remove(filepath.Join(c.work, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
	c.run("apply")
	c.planIsEmpty()
}

// importImage forgets the image and imports it. Where its cache is, only the configuration knows.
func importImage(t *testing.T, c *cli, id string) {
	t.Helper()
	const address = "autopkgtest_testbed_image.image"
	c.run("state", "rm", address)
	c.run(append(append([]string{"import", "-input=false", "-no-color"}, c.args...), address, id)...)
	if plan := c.run("plan"); !strings.Contains(plan, "0 to add, 1 to change, 0 to destroy") {
		t.Errorf("the plan after an import:\n%s", plan)
	}
	c.run("apply")
	c.planIsEmpty()
}

var (
	// block is one at the outermost level of a configuration.
	block = regexp.MustCompile(`(?ms)^(resource|output) "[^\n]* \{\n.*?^\}\n`)
	// elsewhere is what a plan accepts on the right machine alone: an address of its network, a broker that somebody else runs.
	elsewhere = regexp.MustCompile(`192\.0\.2\.10|broker\.example\.org|rabbitmq_server\.network`)
)

// writeRCFiles makes the files that the snippets read in /srv/cloud, and returns their folder.
func writeRCFiles(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for name, region := range map[string]string{"novarc-lcy01": "lcy01", "novarc-lgw01": "lgw01", "openrc.sh": "lgw01"} {
		text := "export OS_AUTH_URL=https://keystone." + region + ".example:5000/v3\n" +
			"export OS_USERNAME=britney OS_PROJECT_NAME=tests OS_REGION_NAME=" + region + "\n"
		if name == "openrc.sh" {
			text += "read -sr OS_PASSWORD_INPUT\nexport OS_PASSWORD=$OS_PASSWORD_INPUT\n"
		} else {
			text += "export OS_PASSWORD=known\n"
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conf := "[autopkgtest]\nreleases = noble\nbackend = nova\n[nova]\nimage_pattern = ubuntu-$RELEASE\nflavor = m1.small\n" +
		"novaopts = --keyname=testbed\n"
	if err := os.WriteFile(filepath.Join(folder, "worker.conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestExamplesArePlanned plans the snippets of the reference, all together: each uses what the others make.
func TestExamplesArePlanned(t *testing.T) {
	t.Parallel()
	c := newCLI(t, "-var=cloud_password=asked-for")
	clouds := writeRCFiles(t)
	for _, pattern := range []string{
		"provider/*.tf", "resources/*/resource.tf", "functions/*/function.tf", "data-sources/*/data-source.tf",
		"ephemeral-resources/*/ephemeral-resource.tf",
	} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no examples %s: %v", pattern, err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			snippet := strings.ReplaceAll(string(content), "/srv/cloud", clouds)
			c.write(strings.ReplaceAll(file, "/", "-"), block.ReplaceAllStringFunc(snippet, func(text string) string {
				if elsewhere.MatchString(text) {
					return ""
				}
				return text
			}))
		}
	}
	plan := c.run("plan")
	for _, want := range []string{"Plan: 24 to add", "debci-ppa-noble-amd64", "libp", "autopkgtest-noble-joe-foo"} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan of the snippets has no %q:\n%s", want, plan)
		}
	}
}
