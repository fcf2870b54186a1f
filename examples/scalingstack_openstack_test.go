//go:build e2e && openstack

package examples

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
)

// TestScalingstack is the deployment of 2015 from nothing to nothing: interrupted and finished, a request whose testbed is a server, what
// a refresh costs, and no secret anywhere but in its file.
func TestScalingstack(t *testing.T) {
	s := newScalingstack(t)
	before := s.contents(t)
	trace := filepath.Join(s.work, "trace.log")
	s.env = append(s.env, "TF_LOG=trace", "TF_LOG_PATH="+trace)
	s.planOnInstances()
	s.interrupt()
	said := s.run("apply")
	s.hasNoDuplicates(t)
	for _, region := range s.regions {
		if rules := count(s.contents(t), region.name+": rule ") - count(before, region.name+": rule "); rules != 1 {
			t.Errorf("%d rules were added to the group default of %s, want the one for ssh", rules, region.name)
		}
	}

	file := s.output("britney_credentials_file")
	s.showsCredentials(t, file)
	if queues := s.run("output", "queues"); strings.Count(queues, "debci-") != 4 {
		t.Errorf("2 contexts of 2 releases have the queues %s", queues)
	}
	s.runRequests(t, file, "noble", "questing")
	s.refreshes(t) // now: each testbed that is made has a login of its own
	texts := map[string]string{
		"the output": said, "the state": s.run("state", "pull"), "the plan": s.run("show", "-json", "plan"), "the log": read(t, trace),
	}
	passwords := passwordsOf(t, s.directory)
	for _, region := range append(slices.Clone(s.regions), s.services) {
		passwords = append(passwords, region.password())
	}
	holdNone(t, passwords, texts)

	s.run("destroy")
	nothingIsLeft(t, s.directory)
	nothingIsLeft(t, s.there)
	var after []string
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(500 * time.Millisecond) { // Nova says so before it is over
		if after = s.contents(t); slices.Equal(before, after) {
			break
		}
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the projects before and after (-before +after):\n%s", diff)
	}
}

func count(lines []string, begin string) (count int) {
	for _, line := range lines {
		if strings.HasPrefix(line, begin) {
			count++
		}
	}
	return count
}

// planOnInstances plans it as operators do, who give no other machines: the addresses are known once there are some. One region is enough.
func (s *scalingstack) planOnInstances() {
	s.t.Helper()
	all := s.args
	defer func() { s.args = all }()
	s.args = append(slices.DeleteFunc(slices.Clone(all), func(argument string) bool {
		return strings.HasPrefix(argument, "-var=hosts=") || strings.HasPrefix(argument, "-var=rc_files=")
	}), fmt.Sprintf("-var=rc_files=[%q]", s.regions[0].rc))
	if plan := s.run("plan"); !strings.Contains(plan, "Plan: 22 to add, 0 to change, 0 to destroy") {
		s.t.Errorf("the plan on instances:\n%s", plan)
	}
}

// interrupt presses Ctrl-C when the first server was asked for.
func (s *scalingstack) interrupt() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var once sync.Once
	s.services.between.Spoil(func(seen openstacktest.Seen, _ http.ResponseWriter) bool {
		if seen.Method == http.MethodPost && strings.HasSuffix(seen.Path, "/servers") {
			once.Do(cancel)
		}
		return false
	})
	defer s.services.between.Spoil(nil)
	var out bytes.Buffer
	cmd := s.command(ctx, "apply")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err == nil {
		s.t.Errorf("the apply was done before it could be interrupted:\n%s", &out)
	}
}

func (s *scalingstack) hasNoDuplicates(t *testing.T) {
	t.Helper()
	counts := map[string]int{}
	for _, line := range s.contents(t) {
		kind, rest, _ := strings.Cut(strings.TrimPrefix(line, s.services.name+": "), " ")
		if _, name, _ := strings.Cut(rest, " "); strings.HasPrefix(line, s.services.name) && strings.HasPrefix(name, s.stack) {
			counts[kind+" "+name]++
		}
	}
	want := map[string]int{"key " + s.stack + "-machines": 1}
	for _, name := range []string{"broker", "web", "worker"} {
		want["server "+s.stack+"-"+name] = 1
	}
	for _, name := range []string{"broker", "web", "machines"} {
		want["group "+s.stack+"-"+name] = 1
	}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Errorf("what bears the stack's name (-want +got):\n%s", diff)
	}
}

// showsCredentials: the file is its owner's alone, and the command prints what britney is told.
func (s *scalingstack) showsCredentials(t *testing.T, file string) {
	t.Helper()
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("the credentials: %v, %v", info, err)
	}
	printed, err := exec.Command("sh", "-c", s.output("britney_credentials_command")).Output()
	line := regexp.MustCompile(`(?m)^ADT_AMQP = amqp://britney:[^@]{20,}@` + regexp.QuoteMeta(s.address))
	if err != nil || string(printed) != read(t, file) || !line.Match(printed) {
		t.Errorf("the command prints %d bytes, %v", len(printed), err)
	}
}

// runRequests requests tests as britney does, one of each release, and waits until the website shows their results. Their testbeds were
// servers of the regions.
func (s *scalingstack) runRequests(t *testing.T, credentials string, releases ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	account, err := config.ReadBroker(credentials)
	if err != nil {
		t.Fatal(err)
	}
	session, err := queue.Dial(ctx, account)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	made := s.testbeds()
	for _, release := range releases {
		if err := session.Publish(ctx, "", "debci-"+release+"-amd64", []byte("green\n{\"triggers\": [\"green/1\"]}"), true); err != nil {
			t.Fatal(err)
		}
	}
	page := strings.TrimSuffix(s.output("page"), "/") + "/api/v1/results?package=green"
	all := func(shown string) bool {
		return !slices.ContainsFunc(releases, func(release string) bool { return !strings.Contains(shown, strconv.Quote(release)) })
	}
	for shown := ""; !all(shown); {
		if resp, err := http.Get(page); err == nil {
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			shown = string(body)
		}
		select {
		case <-ctx.Done():
			log := read(t, filepath.Join(s.there, "log", "worker", "current"))
			t.Fatalf("no results of %v are shown, but %s; the worker says:\n%s", releases, shown, log[max(0, len(log)-6000):])
		case <-time.After(200 * time.Millisecond):
		}
	}
	if now := s.testbeds(); now < made+len(releases) {
		t.Errorf("%d servers were asked for in the time of %d tests", now-made, len(releases))
	}
}

// testbeds is how many servers were asked for in the regions.
func (s *scalingstack) testbeds() (count int) {
	for _, region := range s.regions {
		count += region.between.Count(http.MethodPost, "compute", "/servers")
	}
	return count
}

// listed are the paths of lists; what else is read is one thing.
var listed = regexp.MustCompile(`/(servers/detail|os-keypairs|security-groups|security-group-rules|floatingips|ports|networks|subnets|images|flavors(/detail)?)$`)

// refreshes plans again, and has nothing to do. In each region that costs one login and one list of each kind, however many resources
// there are. The plan is kept in the file plan.
func (s *scalingstack) refreshes(t *testing.T) {
	t.Helper()
	all := append(slices.Clone(s.regions), s.services)
	for _, p := range all {
		p.between.Forget()
	}
	if out, err := s.try("plan", "-detailed-exitcode", "-out=plan"); err != nil {
		t.Errorf("the plan is not empty: %v\n%s", err, out)
	}
	lists := 0
	for _, p := range all {
		counts := map[string]int{}
		for _, seen := range p.between.Requests() {
			switch {
			case p != s.services && seen.Service == "compute" && !strings.Contains(seen.Path, "os-keypairs"): // the worker's, who looks for room
			case strings.Contains(seen.Query, "marker="): // the next page of a list
			case seen.Method == http.MethodGet && listed.MatchString(seen.Path), seen.Method == http.MethodPost && seen.Service == "identity":
				counts[fmt.Sprint(seen.Method, " ", seen.Service, " ", seen.Path)]++
			}
		}
		for what, count := range counts {
			lists++
			if count > 1 {
				t.Errorf("a refresh of %s: %d times %s", p.name, count, what)
			}
		}
	}
	if lists < 8 {
		t.Errorf("a refresh made %d lists; is this still counted?", lists)
	}
}

// TestScalingstackRefuses: what contradicts the deployment, or cannot be used, fails the plan with its file and line.
func TestScalingstackRefuses(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	conf, rc := filepath.Join(folder, "worker.conf"), filepath.Join(folder, "lgw01.rc")
	c := newCLI(t, "-var=directory="+newStack(t), "-var=worker_conf="+conf, "-var=image_pattern=dummy", "-var=flavor=m1.tiny",
		"-var=network=net_prodstack", `-var=gatekeepers=["192.0.2.7"]`,
		"-var=services_rc_file="+openstacktest.RCFile(t, openstacktest.Prodstack, openstacktest.Lcy01),
		fmt.Sprintf("-var=rc_files=[%q,%q]", openstacktest.RCFile(t, openstacktest.Scalingstack, openstacktest.Lcy01), rc))
	c.copyExample("scalingstack")
	right := read(t, openstacktest.RCFile(t, openstacktest.Scalingstack, openstacktest.Lgw01))
	line := strconv.Itoa(strings.Count(right, "\n") + 1)
	for _, test := range []struct{ conf, replacement, more, says string }{
		{"password =", "password = Secret1", "", `worker\.conf:4: \[amqp\] password: is another one`},
		{"--keyname=", "--key=", "", `worker\.conf:16: \[nova\] novaopts: unknown flag`},
		{"[nova]", "[nova]\nrc_files = /srv/rc", "", `worker\.conf:14: \[nova\] rc_files: is "/srv/rc"`},
		{"", "", "export OS_PASSWORD=$(pass show lgw01)\n", `lgw01\.rc:` + line + `: OS_PASSWORD depends on what a command prints`},
	} {
		write(t, conf, strings.Replace(ofScalingstack, test.conf, test.replacement, 1))
		write(t, rc, right+test.more)
		says := regexp.MustCompile(strings.ReplaceAll(test.says, " ", `\s+`)) // Terraform breaks lines
		if out, err := c.try("plan"); err == nil || !says.MatchString(out) {
			t.Errorf("%s: %v\n%s", test.says, err, out)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
