//go:build openstack && guests

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/cloudrc"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

// packageLimit is for a canary and a package, each in a machine of its own that is emulated, boots, and is booted anew.
const packageLimit = time.Hour

// TestPackageInGuest has nothing that is a double: the real program takes a request from a real broker, has a real OpenStack boot a
// machine, runs an archive package's tests in it over ssh, and stores the result in that cloud's own Swift. Afterwards the cloud has
// what it had before.
func TestPackageInGuest(t *testing.T) {
	q := testbedtest.ThisMachine(t)
	regions := []*openstack.Region{
		openstacktest.Region(t, openstacktest.Scalingstack, openstacktest.Lcy01), openstacktest.Region(t, openstacktest.Scalingstack, openstacktest.Lgw01),
	}
	openstacktest.KeepsBelongings(t, regions...)
	m := newGuestMachine(t, q, regions[0])
	worker := m.start(t)
	body, err := request.Request{Package: "gzip", Triggers: []string{"gzip/1"}}.Body()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.session.Publish(t.Context(), "", q.Name(), body, true); err != nil {
		t.Fatal(err)
	}
	told := m.completion(t)
	worker.signal(t, syscall.SIGTERM)
	if err := worker.wait(t); err != nil {
		t.Errorf("after SIGTERM: %v, want exit code 0", err)
	}
	if waiting, _, err := m.session.Depth(t.Context(), q.Name()); err != nil || waiting != 0 {
		t.Errorf("%d requests are in the queue, error %v", waiting, err)
	}
	got := m.result(t, told.Location)
	if told.ExitCode != 0 || got.ExitCode != 0 || !bytes.Contains(got.Summary, []byte("simple-gzip          PASS")) {
		t.Errorf("exit code %d, announced as %d: %s", got.ExitCode, told.ExitCode, got.Summary)
	}
	if got.Source != "gzip" || got.Version == result.Unknown || got.Version != told.Version {
		t.Errorf("%s %q, announced as %q", got.Source, got.Version, told.Version)
	}
	t.Logf("%s of %s after %s: %s", result.Classify(got.ExitCode), got.Version, got.Duration, got.Summary)
}

// newGuestMachine is a machine whose worker's testbeds are servers of a region: its user comes in by floating IP, through a group that
// the region gets for it, and with a key that cloud-init is told of.
func newGuestMachine(t *testing.T, q request.Queue, region *openstack.Region) *machine {
	t.Helper()
	const group = "testbeds"
	m := newProgram(t)
	openstacktest.OpenDoor(t, region, group)
	rc, err := os.ReadFile(openstacktest.RCFile(t, openstacktest.Scalingstack, region.Name()))
	if err != nil {
		t.Fatal(err)
	}
	account := m.broker.User(t, "worker", `^teststatus\.fanout$`, `^(teststatus|testcomplete)\.fanout$`, `^debci-.*$`)
	store := storeOf(region.Cloud())
	m.environment = []string{"SWIFT_USER_DOMAIN_NAME=" + store.UserDomain, "SWIFT_PROJECT_DOMAIN_NAME=" + store.ProjectDomain}
	m.write(t, "rc", rc)
	key, err := os.ReadFile(openstacktest.PrivateKey(t))
	if err != nil {
		t.Fatal(err)
	}
	m.write(t, "key", key)
	m.write(t, "amqp", account.File(config.KeyURI))
	m.conf = config.Worker{
		BrokerCredentials: m.path("amqp"), StoreAccount: store, Releases: []string{q.Release}, Architectures: []string{q.Architecture},
		Contexts: []string{""}, Slots: 1, StateDirectory: m.path("state"), Timeout: packageLimit, DrainTimeout: time.Minute,
		HealthListen: freeAddress(t), Backend: "nova", Nova: config.Nova{
			ImagePattern: openstacktest.GuestImage, Flavor: openstacktest.GuestFlavor, RCFiles: []string{m.path("rc")}, KeyFile: m.path("key"),
			Options: openstacktest.GuestOptions(group),
		},
	}
	m.write(t, "worker.conf", m.conf.Bytes())
	m.giveAway(t)
	if m.session, err = queue.Dial(t.Context(), m.broker.Admin); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.session.Close() })
	m.broker.DeclareQueue(t, q.Name())
	if err := errors.Join(m.session.DeclareExchanges(t.Context()),
		m.session.DeclareListener(t.Context(), queue.CompletionListener)); err != nil {
		t.Fatal(err)
	}
	return m
}

// completion waits for a completion message.
func (m *machine) completion(t *testing.T) queue.Completion {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), packageLimit)
	defer cancel()
	for {
		d, found, err := m.session.Get(ctx, queue.CompletionListener.Queue)
		if err != nil {
			t.Fatal(err)
		}
		if found {
			c, err := queue.ParseCompletion(d.Body)
			if err := errors.Join(err, d.Ack()); err != nil {
				t.Fatal(err)
			}
			return c
		}
		select {
		case <-ctx.Done():
			t.Fatalf("no completion message within %s", packageLimit)
		case <-time.After(time.Second):
		}
	}
}

// result reads what is in the store for a completion message, with an account that may do so.
func (m *machine) result(t *testing.T, at result.Location) result.Result {
	t.Helper()
	body, _, err := swift.New(m.conf.StoreAccount).Get(t.Context(), at.Container, at.Object(result.TarObject))
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	stored, err := result.ReadTar(body)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// storeOf is the store of a project.
func storeOf(c cloudrc.Cloud) config.Store {
	return config.Store{
		AuthURL: c.AuthURL, Username: c.Username, Password: config.Secret(c.Password.Reveal()), Tenant: c.ProjectName, Region: c.Region,
		UserDomain: c.UserDomain.Name, ProjectDomain: c.ProjectDomain.Name,
	}
}
