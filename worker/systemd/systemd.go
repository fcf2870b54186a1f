// Package systemd tells the service manager how a service does, as sd_notify(3) describes it: that its start is over, in a line
// of words what it does and misses, that it reads its configuration again or stops, and that its main loop comes round. Whether what
// it needs of others is there is nothing that a start waits for: the boot of a machine would wait, too. A service that nobody asked
// to tell (there is no NOTIFY_SOCKET) tells nothing. How units are written is in docs/systemd.md.
package systemd

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Service is what is told about.
type Service struct {
	// Words says in one line what the service does or misses. It is called every few seconds, by one goroutine, and should
	// return soon.
	Words func() string
	// Alive returns nil when the service's main loop has come round once more, and an error when the context ended first. The
	// first time is the end of the start.
	Alive func(ctx context.Context) error
}

// How often the state is looked at.
const (
	startInterval = time.Second
	stateInterval = 10 * time.Second
)

// patience is asked for with every message of a service that starts or stops: with testbeds to be removed that a killed worker left,
// or tests that are to be finished, both can take longer than the manager's own limits of a minute and a half.
const patience = 60 * time.Second

// Manager is the service manager. Its methods may be called from several goroutines.
type Manager struct {
	log      *slog.Logger
	send     func(state string) (asked bool, err error)
	watchdog time.Duration // how long the manager waits for a sign of life; 0 for ever

	mu       sync.Mutex
	ready    bool // told
	stopping bool // told
	words    string
	failed   bool // said in the log
}

// New reads from the environment what the manager wants to be told.
func New(log *slog.Logger) *Manager {
	m := &Manager{log: log, send: func(state string) (bool, error) { return daemon.SdNotify(false, state) }}
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("the service manager's watchdog cannot be fed, and will end this service", "error", err)
	}
	m.watchdog = watchdog
	return m
}

// Keep tells of a service until the context ends.
func (m *Manager) Keep(ctx context.Context, s Service) {
	var feeding sync.WaitGroup
	defer feeding.Wait()
	if m.watchdog > 0 {
		feeding.Go(func() { m.feed(ctx, s) })
	}
	for {
		pause := stateInterval
		if !m.state(ctx, s) {
			pause = startInterval
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// state tells what has changed, and reports whether the start was over before: much changes in the first second after it.
func (m *Manager) state(ctx context.Context, s Service) (started bool) {
	words := s.Words()
	m.mu.Lock()
	started = m.ready || m.stopping
	m.mu.Unlock()
	first := false
	if !started {
		within, cancel := context.WithTimeout(ctx, startInterval)
		first = s.Alive(within) == nil
		cancel()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var lines []string
	if first && !m.stopping {
		m.ready = true
		lines = append(lines, daemon.SdNotifyReady)
	}
	if words != m.words {
		m.words = words
		lines = append(lines, "STATUS="+line(words))
	}
	if !m.ready || m.stopping {
		lines = append(lines, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", patience.Microseconds()))
	}
	m.tell(lines...)
	return started
}

// Reload tells that the configuration is read again while f does that.
func (m *Manager) Reload(f func()) {
	m.whenReady(daemon.SdNotifyReloading + "\n" + strings.TrimSpace(daemon.SdNotifyMonotonicUsec()))
	f()
	m.whenReady(daemon.SdNotifyReady)
}

// whenReady tells what makes no sense to a manager that still waits for the start, or already for the end.
func (m *Manager) whenReady(lines string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ready && !m.stopping {
		m.tell(lines)
	}
}

// Stopping tells that the service finishes what it does, and will then end.
func (m *Manager) Stopping() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.stopping {
		m.stopping = true
		m.tell(daemon.SdNotifyStopping, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", patience.Microseconds()))
	}
}

// feed gives a sign of life whenever there is one, three times as often as the manager wants it.
func (m *Manager) feed(ctx context.Context, s Service) {
	pause := m.watchdog / 3
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	standing := false
	for {
		within, cancel := context.WithTimeout(ctx, pause)
		err := s.Alive(within)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			m.mu.Lock()
			m.tell(daemon.SdNotifyWatchdog)
			m.mu.Unlock()
			standing = false
		case !standing:
			standing = true
			m.log.Error("the main loop stands still: unless it goes on, the service manager ends this service",
				"within", m.watchdog-pause)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tell sends some assignments in one message. It needs the lock, which keeps messages in order.
func (m *Manager) tell(lines ...string) {
	if len(lines) == 0 {
		return
	}
	_, err := m.send(strings.Join(lines, "\n"))
	if err != nil && !m.failed {
		m.log.Warn("the service manager cannot be told how the service does", "error", err)
	}
	m.failed = err != nil
}

// maxStatus is more than fits into a line of systemctl's.
const maxStatus = 400

// line makes one line of words: another one would be another assignment.
func line(words string) string {
	words = strings.Join(strings.Fields(words), " ")
	if len(words) > maxStatus {
		words = strings.ToValidUTF8(words[:maxStatus], "") + "…"
	}
	return words
}
