//go:build component

package main

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

// stub is a double of autopkgtest, as a checkout of its source has it. It runs while there is a file "gate" beside it.
const stub = `#!/bin/sh
[ "$1" != --help ] || exec autopkgtest --help
while [ -e /checkout/gate ]; do sleep 0.1; done
echo "autopkgtest [01:02:03]: starting" >/out/log
printf 'smoke                PASS\n' >/out/summary
printf '{"virt_server": "autopkgtest-virt-unshare"}' >/out/testinfo.json
`

// stored lists the objects of a package's results that readers believe in.
func (m *machine) stored(t *testing.T, results store.Store, pkg string) (names []string) {
	t.Helper()
	container := result.Container("stone", nil, false)
	for entry, err := range store.Walk(t.Context(), results, container, result.PackagePrefix("stone", "amd64", pkg), "", "") {
		if err != nil {
			return nil // there is no container yet
		}
		if filepath.Base(entry.Name) == result.TarObject {
			names = append(names, entry.Name)
		}
	}
	return names
}

// A worker is killed when its result is in the store and its request is not acknowledged. The next start on that machine, or
// another machine's worker that looks for itself whether the first one lives, acknowledges it without a run.
func TestKilledBetweenStoreAndAcknowledgement(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]string{"the next start": "state", "another machine": "other-state"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			account, err := config.ReadStore(m.path("swift"))
			if err != nil {
				t.Fatal(err)
			}
			results := swift.New(account)
			if err := m.session.DeclareExchanges(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := m.session.DeclareListener(t.Context(), queue.CompletionListener); err != nil {
				t.Fatal(err)
			}
			broker, err := config.ReadBroker(m.path("amqp"))
			if err != nil {
				t.Fatal(err)
			}
			proxy, through := queuetest.Through(t, broker)
			m.write(t, "amqp", through.File(config.KeyURI))
			m.write(t, "stub/runner/autopkgtest", []byte(stub))
			m.write(t, "stub/gate", nil)
			if err := os.Chmod(m.path("stub/runner/autopkgtest"), 0o755); err != nil {
				t.Fatal(err)
			}
			m.conf.CheckoutDir = m.path("stub")
			m.write(t, "worker.conf", m.conf.Bytes())
			m.giveAway(t)
			pkg := "killed-" + strings.ToLower(rand.Text()[:8])

			first := m.start(t)
			m.untilReady(t)
			if err := m.session.Publish(t.Context(), "", queueName, []byte(pkg+"\n{\"triggers\": [\"gzip/1\"]}"), true); err != nil {
				t.Fatal(err)
			}
			queuetest.Eventually(t, "the test runs", func() bool { return strings.Contains(first.log.String(), "request accepted") })
			proxy.Freeze() // the broker hears nothing any more
			if err := os.Remove(m.path("stub/gate")); err != nil {
				t.Fatal(err)
			}
			queuetest.Eventually(t, "the result is there", func() bool { return len(m.stored(t, results, pkg)) == 1 })
			first.signal(t, syscall.SIGKILL)
			_ = first.wait(t)
			proxy.Cut()
			proxy.Thaw()
			queuetest.Eventually(t, "the request is back", func() bool {
				ready, _, err := m.session.Depth(t.Context(), queueName)
				return err == nil && ready == 1
			})

			m.conf.StateDirectory = m.path(next)
			m.write(t, "worker.conf", m.conf.Bytes())
			second := m.start(t)
			testbedtest.Await(t, "the request to be done", func() bool { return strings.Contains(second.log.String(), "request done") })
			second.signal(t, syscall.SIGTERM)
			if err := second.wait(t); err != nil {
				t.Errorf("after SIGTERM: %v, want exit code 0", err)
			}
			if ready, _, err := m.session.Depth(t.Context(), queueName); err != nil || ready != 0 {
				t.Errorf("%d requests are in the queue, error %v", ready, err)
			}
			if found := m.stored(t, results, pkg); len(found) != 1 {
				t.Errorf("results %v, want one", found)
			}
			if strings.Contains(second.log.String(), "autopkgtest ended") {
				t.Error("the tests ran a second time")
			}
			if told, _, err := m.session.Depth(t.Context(), queue.CompletionListener.Queue); err != nil || told != 1 {
				t.Errorf("%d completion messages, error %v, want one", told, err)
			}
		})
	}
}
