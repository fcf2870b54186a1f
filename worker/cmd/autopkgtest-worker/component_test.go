//go:build component

package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue/queuetest"
)

const queueName = "debci-stone-amd64"

func newMachine(t *testing.T) *machine {
	t.Helper()
	store := os.Getenv("AUTOPKGTEST_TEST_SWIFT")
	if store == "" {
		t.Fatal("AUTOPKGTEST_TEST_SWIFT is not set: this test needs a real store, `make test` starts one")
	}
	m := newProgram(t)
	credentials, err := os.ReadFile(store)
	if err != nil {
		t.Fatal(err)
	}
	account := m.broker.User(t, "worker", `^teststatus\.fanout$`, `^(teststatus|testcomplete)\.fanout$`, `^debci-.*$`)
	m.write(t, "swift", credentials)
	m.write(t, "amqp", account.File(config.KeyURI))
	m.write(t, "images/stone-amd64.tar.zst", []byte("not really one"))
	// As if the job that builds images had just proven it; without that, a canary would come first, and fail.
	m.write(t, "images/stone-amd64.json", fmt.Appendf(nil, `{"canary": "passed", "proven": %q}`, time.Now().UTC().Format(time.RFC3339)))
	m.conf = config.Worker{
		BrokerCredentials: m.path("amqp"), StoreCredentials: m.path("swift"), Releases: []string{"stone"},
		Architectures: []string{"amd64"}, Contexts: []string{""}, Slots: 4, StateDirectory: m.path("state"),
		Timeout: time.Hour, DrainTimeout: time.Minute, Images: m.path("images"), HealthListen: freeAddress(t),
	}
	m.write(t, "worker.conf", m.conf.Bytes())
	m.giveAway(t)
	m.broker.DeclareQueue(t, queueName)
	m.broker.DeclareFanout(t, queue.CompletionExchange)
	if m.session, err = queue.Dial(t.Context(), m.broker.Admin); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.session.Close() })
	return m
}

// residentMB is the process's resident memory.
func residentMB(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes >> 10
}

// From the start to an idle worker, its health, and the two ways to stop it.
func TestWorkerServes(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := m.start(t)
	m.untilReady(t)
	answer, err := http.Get("http://" + m.conf.HealthListen + "/healthz")
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("healthz: %v, %v", answer, err)
	}
	_ = answer.Body.Close()
	if answer, err = http.Get("http://" + m.conf.HealthListen + "/metrics"); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("metrics: %v, %v", answer, err)
	}
	counted, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	for _, line := range []string{
		"autopkgtest_worker_slots_free 4\n", "autopkgtest_worker_broker_connected 1\n", "autopkgtest_worker_queues_not_consumed 0\n",
		"autopkgtest_worker_breaker_open{arch=\"amd64\",release=\"stone\"} 0\n",
	} {
		if err != nil || !strings.Contains(string(counted), line) {
			t.Errorf("metrics: no %q in (%v)\n%s", line, err, counted)
		}
	}
	megabytes := residentMB(t, p.Process.Pid)
	t.Logf("idle with 4 slots: %d MB resident", megabytes)
	if megabytes > 40 { // together with the collector it is to be below 60
		t.Errorf("idle with 4 slots: %d MB resident, want at most 40", megabytes)
	}

	// What is missing is told.
	m.broker.DeleteQueue(t, queueName)
	queuetest.Eventually(t, "the lost queue makes it unready", func() bool {
		status, findings := m.ready()
		return status == http.StatusServiceUnavailable && strings.Contains(findings["queues"].Reason, queueName) && findings["store"].OK
	})
	m.broker.DeclareQueue(t, queueName)
	m.untilReady(t)

	p.signal(t, syscall.SIGTERM)
	if err := p.wait(t); err != nil {
		t.Errorf("after SIGTERM: %v, want exit code 0", err)
	}
	if strings.Contains(p.log.String(), "password") {
		t.Errorf("the log speaks of passwords:\n%s", p.log)
	}
}

// managed listens as the service manager does, and returns what has been told so far, a line each.
func (m *machine) managed(t *testing.T) (told func() string) {
	t.Helper()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path("notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	m.giveAway(t)
	m.environment = []string{"NOTIFY_SOCKET=" + m.path("notify"), "WATCHDOG_USEC=1500000"}
	heard := new(lockedBuffer)
	go func() {
		message := make([]byte, 4096)
		for {
			n, err := socket.Read(message)
			if err != nil {
				return // closed
			}
			_, _ = heard.Write(append(message[:n:n], '\n'))
		}
	}()
	return heard.String
}

// What the service manager is told: the start is over without a broker, too. Then a reload, and the end.
func TestWorkerIsManaged(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	told := m.managed(t)
	credentials, err := os.ReadFile(m.path("amqp"))
	if err != nil {
		t.Fatal(err)
	}
	m.write(t, "amqp", []byte("not yet\n"))
	p := m.start(t)
	until := func(what, line string) {
		t.Helper()
		queuetest.Eventually(t, what, func() bool { return strings.Contains("\n"+told(), "\n"+line+"\n") })
	}
	until("it says that the broker is away", "STATUS=0 of 4 slots busy; no session with the broker")
	until("the start is over", "READY=1")
	if status, findings := m.ready(); status != http.StatusServiceUnavailable || findings["broker"].OK {
		t.Errorf("the health page has %d and says of the broker %+v", status, findings["broker"])
	}
	m.write(t, "amqp", credentials)
	until("it has a session", "STATUS=0 of 4 slots busy")
	m.untilReady(t)
	fed := strings.Count(told(), "WATCHDOG=1")
	queuetest.Eventually(t, "it lives", func() bool { return strings.Count(told(), "WATCHDOG=1") > fed+2 })
	p.signal(t, syscall.SIGHUP)
	queuetest.Eventually(t, "it has reloaded", func() bool { return strings.Count(told(), "READY=1") == 2 })
	if reloading := strings.Index(told(), "RELOADING=1\nMONOTONIC_USEC="); reloading < 0 || reloading > strings.LastIndex(told(), "READY=1") {
		t.Errorf("the reload:\n%s", told())
	}
	p.signal(t, syscall.SIGTERM)
	if err := p.wait(t); err != nil {
		t.Errorf("after SIGTERM: %v, want exit code 0", err)
	}
	until("it said that it stops", "STOPPING=1")
}

// SIGHUP applies a changed configuration, and a wrong one changes nothing.
func TestWorkerReloads(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := m.start(t)
	m.untilReady(t)
	m.write(t, "worker.conf", []byte("[autopkgtest]\nslotz = 3\n"))
	p.signal(t, syscall.SIGHUP)
	queuetest.Eventually(t, "the wrong configuration is refused", func() bool { return strings.Contains(p.log.String(), "slotz") })
	m.untilReady(t)
	changed := m.conf
	changed.Contexts = []string{"", "huge"}
	m.broker.DeclareQueue(t, "debci-huge-stone-amd64")
	m.write(t, "worker.conf", changed.Bytes())
	p.signal(t, syscall.SIGHUP)
	queuetest.Eventually(t, "the new queue is consumed", func() bool {
		_, consumers, err := m.session.Depth(t.Context(), "debci-huge-stone-amd64")
		return err == nil && consumers == 1
	})
	p.signal(t, syscall.SIGINT)
	if err := p.wait(t); err != nil {
		t.Errorf("after SIGINT: %v, want exit code 0", err)
	}
}

// A worker that is killed without warning loses nothing: the request is at the broker, and what it left is cleared.
func TestWorkerIsKilled(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	first := m.start(t)
	m.untilReady(t)
	if err := m.session.Publish(t.Context(), "", queueName, []byte("gzip\n{\"triggers\": [\"gzip/1\"]}"), true); err != nil {
		t.Fatal(err)
	}
	// The image is none, so autopkgtest fails, and the worker holds the request until it tries again.
	queuetest.Eventually(t, "the first attempt has failed", func() bool {
		return strings.Contains(first.log.String(), "autopkgtest ended") || strings.Contains(first.log.String(), "could not be run")
	})
	leftovers := func() []os.DirEntry {
		found, err := os.ReadDir(m.path("state/run"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	left := leftovers()
	if len(left) != 1 {
		t.Fatalf("%d folders of runs, want one", len(left))
	}
	first.signal(t, syscall.SIGKILL)
	_ = first.wait(t)
	second := m.start(t)
	queuetest.Eventually(t, "the request came back", func() bool { return strings.Contains(second.log.String(), "redelivered=true") })
	if !strings.Contains(second.log.String(), "removed the folder of a dead worker's run") {
		t.Errorf("nothing was cleared:\n%s", second.log)
	}
	for _, folder := range leftovers() {
		if folder.Name() == left[0].Name() {
			t.Errorf("%s is still there", folder.Name())
		}
	}
	// A second signal means now: the request goes back.
	second.signal(t, syscall.SIGTERM)
	queuetest.Eventually(t, "it drains", func() bool { return strings.Contains(second.log.String(), "draining") })
	second.signal(t, syscall.SIGTERM)
	if err := second.wait(t); err != nil {
		t.Errorf("after two SIGTERM: %v, want exit code 0", err)
	}
	queuetest.Eventually(t, "the request is in its queue", func() bool {
		ready, _, err := m.session.Depth(t.Context(), queueName)
		return err == nil && ready == 1
	})
	if found := leftovers(); len(found) != 0 {
		t.Errorf("left behind: %v", found)
	}
}

// --check tells what would be done, and what is wrong, in words.
func TestWorkerChecks(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	out, err := m.command("--check").CombinedOutput()
	if err != nil || !strings.Contains(string(out), queueName) || strings.Contains(string(out), "WRONG") {
		t.Errorf("--check: %v\n%s", err, out)
	}
	asked := m.command("--check", "--request", "-")
	asked.Stdin = strings.NewReader("green\n" + `{"triggers": ["green/1"], "env": ["API_TOKEN=hunter2", "A=b c"]}`)
	out, err = asked.CombinedOutput()
	const line = "autopkgtest --output-dir /out --apt-upgrade green --timeout-short=300 --timeout-install=3000 --timeout-test=10000 " +
		"--timeout-copy=900 --timeout-build=20000 '--env=API_TOKEN=***' '--env=A=b c' --env=ADT_TEST_TRIGGERS=green/1 -- " +
		"unshare --release stone --arch amd64 --tarball /images/stone-amd64.tar.zst"
	if err != nil || !strings.Contains(string(out), line) || strings.Contains(string(out), "hunter2") {
		t.Errorf("--check with a request: %v, want %s\n%s", err, line, out)
	}
	if err := os.Remove(m.path("images/stone-amd64.tar.zst")); err != nil {
		t.Fatal(err)
	}
	m.broker.DeleteQueue(t, queueName)
	out, err = m.command("--check").CombinedOutput()
	ended := new(exec.ExitError)
	if !errors.As(err, &ended) || ended.ExitCode() != exitFailed ||
		strings.Count(string(out), "WRONG") != 2 || !strings.Contains(string(out), "no queue '"+queueName) {
		t.Errorf("--check with two things missing: %v\n%s", err, out)
	}
}

// A store's password or address that was changed is read again, without a restart.
func TestStoreFollowsCredentials(t *testing.T) {
	t.Parallel()
	path := os.Getenv("AUTOPKGTEST_TEST_SWIFT")
	right, err := config.ReadStore(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*config.Store){
		"another password": func(s *config.Store) { s.Password = "wrong" },
		"another address": func(s *config.Store) {
			s.AuthURL, s.StorageURL = "http://127.0.0.1:1/auth/v1.0", "http://127.0.0.1:1/v1/AUTH_x"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrong := right
			spoil(&wrong)
			changing := filepath.Join(t.TempDir(), "swift")
			if err := os.WriteFile(changing, wrong.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			s, closeStore, err := openStore(config.Worker{StoreCredentials: changing}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer closeStore()
			if _, err := s.Containers(t.Context()); err == nil {
				t.Error("what is wrong is accepted")
			}
			if err := os.WriteFile(changing, right.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Containers(t.Context()); err != nil {
				t.Errorf("after the change: %v", err)
			}
		})
	}
}
