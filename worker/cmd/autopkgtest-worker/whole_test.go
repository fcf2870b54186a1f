//go:build component && whole

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

// Nothing in these tests is a double: the real program takes requests from a real broker, runs archive packages' tests with
// the real autopkgtest in real testbeds, and stores into a real Swift. They take minutes, most of which they wait; that is
// why they have a tag of their own. Their broker takes a request from its worker after 90 seconds, see
// scripts/testbed-tests.

// wholeMachine is a machine whose worker serves this machine's own release.
type wholeMachine struct {
	*machine
	queue   request.Queue
	results store.Store
}

// newWholeMachine makes one; change is what a test needs in worker.conf besides.
func newWholeMachine(t *testing.T, change func(*config.Worker)) *wholeMachine {
	t.Helper()
	m := &wholeMachine{machine: newMachine(t), queue: testbedtest.ThisMachine(t)}
	account, err := config.ReadStore(m.path("swift"))
	if err != nil {
		t.Fatal(err)
	}
	m.results = swift.New(account)
	m.conf.Releases, m.conf.Architectures = []string{m.queue.Release}, []string{m.queue.Architecture}
	m.conf.Images = m.proven(t, m.image(t))
	// The broker is set up wrongly: what the worker is told of it is what it should be.
	m.conf.DeliveryTimeout = 48 * time.Hour
	change(&m.conf)
	m.write(t, "worker.conf", m.conf.Bytes())
	m.broker.DeclareQueue(t, m.queue.Name())
	if err := errors.Join(m.session.DeclareExchanges(t.Context()),
		m.session.DeclareListener(t.Context(), queue.CompletionListener)); err != nil {
		t.Fatal(err)
	}
	return m
}

// image has the program itself build the release's image, if there is none yet.
func (m *wholeMachine) image(t *testing.T) (folder string) {
	t.Helper()
	folder = testbedtest.Images(t)
	if m.credential != nil {
		if err := os.Chown(folder, int(m.credential.Uid), int(m.credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	m.write(t, "image.conf", config.Image{
		Release: m.queue.Release, Architecture: m.queue.Architecture, Directory: folder,
	}.Bytes())
	m.giveAway(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, m.path("autopkgtest-worker"), "image", "--once", "--config", m.path("image.conf"))
	command.Dir, command.Env = m.folder, m.command().Env
	command.SysProcAttr = &syscall.SysProcAttr{Credential: m.credential}
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build the image: %v\n%s", err, out)
	}
	return folder
}

// proven puts the image into the machine's own folder, with a proof of just now: a canary would take as long as a test does.
func (m *wholeMachine) proven(t *testing.T, folder string) string {
	t.Helper()
	name := filepath.Base(testbed.ImagePath(folder, m.queue))
	if err := os.Link(filepath.Join(folder, name), m.path("images/"+name)); err != nil {
		t.Fatal(err)
	}
	description := strings.TrimSuffix(name, ".tar.zst") + ".json"
	text, err := os.ReadFile(filepath.Join(folder, description))
	if err != nil {
		t.Fatal(err)
	}
	var content map[string]any
	if err := json.Unmarshal(text, &content); err != nil {
		t.Fatal(err)
	}
	content["proven"] = time.Now().UTC().Format(time.RFC3339)
	if text, err = json.Marshal(content); err != nil {
		t.Fatal(err)
	}
	m.write(t, "images/"+description, text)
	m.giveAway(t)
	return m.path("images")
}

// beside makes a second machine for the same queue; this one's broker and store are its, too.
func (m *wholeMachine) beside(t *testing.T) *machine {
	t.Helper()
	other := *m.machine
	other.folder = m.path("other-machine")
	if err := errors.Join(os.Mkdir(other.folder, 0o755),
		os.Link(m.path("autopkgtest-worker"), other.path("autopkgtest-worker"))); err != nil {
		t.Fatal(err)
	}
	other.conf.StateDirectory, other.conf.HealthListen = other.path("state"), freeAddress(t)
	other.write(t, "worker.conf", other.conf.Bytes())
	other.giveAway(t)
	return &other
}

func (m *wholeMachine) request(t *testing.T, r request.Request) {
	t.Helper()
	body, err := r.Body()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.session.Publish(t.Context(), "", m.queue.Name(), body, true); err != nil {
		t.Fatal(err)
	}
}

// completions takes the completion messages that there are.
func (m *wholeMachine) completions(t *testing.T) (all []queue.Completion) {
	t.Helper()
	for {
		d, found, err := m.session.Get(t.Context(), queue.CompletionListener.Queue)
		if err != nil {
			t.Fatal(err)
		}
		if !found {
			return all
		}
		c, err := queue.ParseCompletion(d.Body)
		if err := errors.Join(err, d.Ack()); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
}

// await waits for so many of them.
func (m *wholeMachine) await(t *testing.T, number int) (all []queue.Completion) {
	t.Helper()
	for len(all) < number {
		testbedtest.Await(t, "a completion message", func() bool {
			more := m.completions(t)
			all = append(all, more...)
			return len(more) > 0
		})
	}
	return all
}

// read returns what lies in the store for a completion message.
func (m *wholeMachine) read(t *testing.T, at result.Location) result.Result {
	t.Helper()
	body, _, err := m.results.Get(t.Context(), at.Container, at.Object(result.TarObject))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = body.Close() }()
	stored, err := result.ReadTar(body)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// settled ends the workers, and fails unless then no request and no file of a run is left. It returns the completion messages
// that nobody has waited for.
func (m *wholeMachine) settled(t *testing.T, workers map[*machine]*process) (more []queue.Completion) {
	t.Helper()
	for on, worker := range workers {
		worker.signal(t, syscall.SIGTERM)
		if err := worker.wait(t); err != nil {
			t.Errorf("after SIGTERM: %v, want exit code 0", err)
		}
		for _, folder := range []string{"state/run", "state/spool", "state/leases"} {
			if left, err := os.ReadDir(on.path(folder)); err != nil || len(left) > 0 {
				t.Errorf("left in %s: %v, error %v", folder, left, err)
			}
		}
	}
	// No worker lives: what one of them held unacknowledged would be back in the queue.
	queuetest.Eventually(t, "the broker knows that no worker lives", func() bool {
		_, consumers, err := m.session.Depth(t.Context(), m.queue.Name())
		return err == nil && consumers == 0
	})
	if waiting, _, err := m.session.Depth(t.Context(), m.queue.Name()); err != nil || waiting != 0 {
		t.Errorf("%d requests are in the queue, error %v", waiting, err)
	}
	return m.completions(t)
}

// stored lists the run ids of a package whose result was made from these triggers: others' results may lie beside.
func (m *wholeMachine) stored(t *testing.T, r request.Request) (ids []result.RunID) {
	t.Helper()
	container := result.Container(m.queue.Release, nil, false)
	prefix := result.PackagePrefix(m.queue.Release, m.queue.Architecture, r.Package)
	for entry, err := range store.Walk(t.Context(), m.results, container, prefix, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(entry.Name) != result.TarObject {
			continue
		}
		at := result.Location{
			Container: container, Release: m.queue.Release, Architecture: m.queue.Architecture, Package: r.Package,
			RunID: result.RunID(filepath.Base(filepath.Dir(entry.Name))),
		}
		if got := m.read(t, at); strings.Join(got.Triggers, " ") == strings.Join(r.Triggers, " ") {
			ids = append(ids, at.RunID)
		}
	}
	return ids
}

// TestArchivePackages runs packages of the archive whose outcomes are known. A release that is out does not change its
// tests: what one of these ends with is a property of the package in such a testbed, which is neither a machine of its own
// nor a container with an init.
func TestArchivePackages(t *testing.T) {
	t.Parallel()
	m := newWholeMachine(t, func(conf *config.Worker) { conf.Slots = 2 })
	packages := map[string]struct {
		exit    int
		class   result.Class
		summary string
	}{
		"gzip": {0, result.Pass, "simple-gzip          PASS"},
		// Two of its tests need a testbed that boots, the others pass.
		"daemontools": {2, result.Pass, "daemontools-run-systemd SKIP Test restriction "},
		// Its test is a shell script that no shell can read.
		"bonnie++": {4, result.Fail, "smoke                FAIL non-zero exit status 2"},
		// All of its tests need a machine of their own.
		"arptables": {8, result.Neutral, `command1             SKIP Test restriction "isolation-machine"`},
		// Nothing of it exists for this architecture, so nothing of it can be installed.
		"fenix-plugins": {12, result.Fail, "badpkg: "},
	}
	worker := m.start(t)
	for name := range packages {
		m.request(t, request.Request{Package: name, Triggers: []string{name + "/1"}})
	}
	told := m.await(t, len(packages))
	told = append(told, m.settled(t, map[*machine]*process{m.machine: worker})...)
	for _, c := range told {
		want, asked := packages[c.Location.Package]
		if !asked {
			t.Errorf("a completion message of %s a second time", c.Location.Package)
			continue
		}
		delete(packages, c.Location.Package)
		got := m.read(t, c.Location)
		if c.ExitCode != want.exit || got.ExitCode != want.exit || result.Classify(got.ExitCode) != want.class {
			t.Errorf("%s: exit code %d, announced as %d, want %d\n%s", c.Location.Package, got.ExitCode, c.ExitCode, want.exit, got.Summary)
		}
		if !bytes.Contains(got.Summary, []byte(want.summary)) {
			t.Errorf("%s: summary %q, want %q", c.Location.Package, got.Summary, want.summary)
		}
		if got.Source != c.Location.Package || got.Version == result.Unknown || got.Version != c.Version {
			t.Errorf("%s: %s %q, announced as %q", c.Location.Package, got.Source, got.Version, c.Version)
		}
		t.Logf("%s: %s after %s", c.Location.Package, result.Classify(got.ExitCode), got.Duration)
	}
	for name := range packages {
		t.Errorf("no completion message of %s", name)
	}
}

// TestDeliveryTimeout runs a test for longer than the broker lets a worker hold its request, with nobody but that worker to
// get it then, and with another one that is idle.
func TestDeliveryTimeout(t *testing.T) {
	t.Parallel()
	// The broker lets go after 90 seconds, and looks once a minute.
	const longerThanAllowed = "sleep 155"
	for name, workers := range map[string]int{"one worker": 1, "two workers": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newWholeMachine(t, func(conf *config.Worker) { conf.Slots, conf.SetupCommand = 1, longerThanAllowed })
			first := m.start(t)
			running := map[*machine]*process{m.machine: first}
			asked := request.Request{Package: "gzip", Triggers: []string{"gzip/" + strings.ReplaceAll(name, " ", ".")}}
			m.request(t, asked)
			testbedtest.Await(t, "the first worker to have it", func() bool { return strings.Contains(first.log.String(), "request accepted") })
			if workers > 1 {
				other := m.beside(t)
				running[other] = other.start(t)
			}
			told := m.await(t, 1)
			c := told[0]
			told = append(told, m.settled(t, running)...)
			if ids := m.stored(t, asked); len(ids) != 1 || ids[0] != c.Location.RunID || c.ExitCode != 0 {
				t.Errorf("results %v, announced %s with %d, want this one with 0", ids, c.Location.RunID, c.ExitCode)
			}
			// Of two workers neither knows whether the other one could announce it.
			if len(told) > workers || told[len(told)-1].Location != c.Location {
				t.Errorf("%d completion messages: %+v", len(told), told)
			}
			if !strings.Contains(first.log.String(), queue.ErrOverdue.Error()) {
				t.Error("the broker has not taken the request away: is its delivery timeout 90 seconds?")
			}
			ends := 0
			for _, worker := range running {
				ends += strings.Count(worker.log.String(), "autopkgtest ended")
			}
			if ends != 1 {
				t.Errorf("the tests ran %d times, want once", ends)
			}
		})
	}
}
