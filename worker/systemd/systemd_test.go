package systemd

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// service is one whose state a test sets.
type service struct {
	standing atomic.Bool
	words    atomic.Value
}

func (s *service) Service() Service {
	return Service{
		Words: func() string {
			words, _ := s.words.Load().(string)
			return words
		},
		Alive: func(ctx context.Context) error {
			if !s.standing.Load() {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		},
	}
}

// story runs a manager in a time of its own; what it was told since the last look is returned by the function it is given.
func story(t *testing.T, watchdog time.Duration, tell func(t *testing.T, m *Manager, s *service, told func() []string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var messages []string
		m := &Manager{log: slog.New(slog.DiscardHandler), watchdog: watchdog}
		m.send = func(state string) (bool, error) {
			messages = append(messages, state) // under the manager's lock
			return true, nil
		}
		s := new(service)
		s.words.Store("starting")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			m.Keep(ctx, s.Service())
		}()
		tell(t, m, s, func() []string {
			synctest.Wait()
			m.mu.Lock()
			defer m.mu.Unlock()
			since := messages
			messages = nil
			return since
		})
		cancel()
		<-done
	})
}

func expect(t *testing.T, when string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

const more = "EXTEND_TIMEOUT_USEC=60000000"

func TestLife(t *testing.T) {
	t.Parallel()
	story(t, 0, func(t *testing.T, m *Manager, s *service, told func() []string) {
		s.standing.Store(true)
		m.Reload(func() {})
		time.Sleep(4500 * time.Millisecond)
		expect(t, "the main loop has not begun", told(), "STATUS=starting\n"+more, more)
		s.words.Store("nothing\nrunning;\tno broker")
		s.standing.Store(false)
		time.Sleep(2 * time.Second)
		expect(t, "the start is over", told(), more, "READY=1\nSTATUS=nothing running; no broker")
		s.words.Store("nothing running")
		time.Sleep(time.Second)
		expect(t, "the first second", told(), "STATUS=nothing running")
		time.Sleep(time.Minute)
		expect(t, "nothing new", told())
		s.words.Store("no broker")
		time.Sleep(10 * time.Second)
		expect(t, "of no use for a while", told(), "STATUS=no broker")
		m.Reload(func() { expectReloading(t, told()) })
		expect(t, "reloaded", told(), "READY=1")
		m.Stopping()
		m.Stopping()
		expect(t, "stopping", told(), "STOPPING=1\n"+more)
		m.Reload(func() {})
		s.words.Store("two tests run")
		time.Sleep(20 * time.Second)
		expect(t, "a long drain", told(), "STATUS=two tests run\n"+more, more)
	})
}

func expectReloading(t *testing.T, told []string) {
	t.Helper()
	if len(told) != 1 || !strings.HasPrefix(told[0], "RELOADING=1\nMONOTONIC_USEC=") {
		t.Fatalf("while it reloads: %q", told)
	}
	_, digits, _ := strings.Cut(told[0], "MONOTONIC_USEC=")
	if n, err := strconv.Atoi(digits); err != nil || n <= 0 {
		t.Errorf("the time of the reload: %q", told)
	}
}

func TestWatchdog(t *testing.T) {
	t.Parallel()
	story(t, 30*time.Second, func(t *testing.T, _ *Manager, s *service, told func() []string) {
		time.Sleep(65 * time.Second)
		if fed := count(told(), "WATCHDOG=1"); fed != 7 {
			t.Errorf("fed %d times in a minute, want every ten seconds", fed)
		}
		s.standing.Store(true)
		time.Sleep(10 * time.Second)
		told()
		time.Sleep(5 * time.Minute)
		if fed := count(told(), "WATCHDOG=1"); fed != 0 {
			t.Errorf("fed %d times although the main loop stands still", fed)
		}
		s.standing.Store(false)
		time.Sleep(30 * time.Second)
		if fed := count(told(), "WATCHDOG=1"); fed < 2 {
			t.Errorf("fed %d times after the main loop went on", fed)
		}
	})
}

func TestNoWatchdog(t *testing.T) {
	t.Parallel()
	story(t, 0, func(t *testing.T, _ *Manager, _ *service, told func() []string) {
		time.Sleep(10 * time.Minute)
		if fed := count(told(), "WATCHDOG=1"); fed != 0 {
			t.Errorf("fed %d times, and nobody asked", fed)
		}
	})
}

func count(messages []string, line string) (n int) {
	for _, m := range messages {
		n += strings.Count(m, line)
	}
	return n
}

// What is told arrives at a socket as the manager has one.
func TestSocket(t *testing.T) {
	folder, err := os.MkdirTemp("", "notify")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	path := filepath.Join(folder, "socket")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "300000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m := New(slog.New(slog.DiscardHandler))
	go m.Keep(ctx, Service{
		Words: func() string { return "all is well" },
		Alive: func(context.Context) error { return nil },
	})
	seen := map[string]bool{}
	buffer := make([]byte, 4096)
	for !seen["READY=1"] || !seen["STATUS=all is well"] || !seen["WATCHDOG=1"] {
		if err := socket.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := socket.Read(buffer)
		if err != nil {
			t.Fatalf("heard only %v: %v", seen, err)
		}
		for line := range strings.SplitSeq(string(buffer[:n]), "\n") {
			seen[line] = true
		}
	}
}

// A manager that cannot be told is said once in the log, and nothing else comes of it.
func TestNobodyListens(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	m := &Manager{log: slog.New(slog.NewTextHandler(&log, nil)), send: func(string) (bool, error) { return false, errors.New("gone") }}
	m.Stopping()
	m.mu.Lock()
	m.tell("STATUS=x")
	m.mu.Unlock()
	if strings.Count(log.String(), "cannot be told") != 1 {
		t.Errorf("the log: %s", log.String())
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"":                                    "",
		"one\nREADY=1":                        "one READY=1",
		strings.Repeat("é", maxStatus):        strings.Repeat("é", maxStatus/2) + "…",
		"a " + strings.Repeat("é", maxStatus): "a " + strings.Repeat("é", maxStatus/2-1) + "…",
		"x" + strings.Repeat("é", maxStatus):  "x" + strings.Repeat("é", maxStatus/2-1) + "…",
	} {
		if got := line(words); got != want {
			t.Errorf("line(%q) = %q, want %q", words, got, want)
		}
	}
}
