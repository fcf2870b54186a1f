package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// machine is a worker with what a machine of its own would give it: a disk, a clock, a link to the broker.
type machine struct {
	name    string // also of its processes, see host.ProcessMark
	number  int
	folder  string
	program string
	stack   *stack
	link    link
	clock   clock
	disk    disk
	watch   *watch

	restart sync.Mutex // held by whoever ends the worker and starts it again

	mu      sync.Mutex
	process *process // nil while it is down
	closed  bool     // not to be started any more
	starts  int
}

// link is the way to the broker.
type link interface {
	Freeze()
	Thaw()
	Cut()
	Close()
}

// process is one life of the worker.
type process struct {
	command *exec.Cmd
	ended   chan struct{}
	err     error // once ended
}

func (m *machine) path(name ...string) string {
	return filepath.Join(append([]string{m.folder}, name...)...)
}

// prepare makes the machine's folder. conf lacks what is the machine's own.
func (m *machine) prepare(conf config.Worker, broker config.Broker, account config.Store) error {
	if err := errors.Join(os.MkdirAll(m.path("tmp"), 0o755), os.MkdirAll(m.path("state"), 0o755)); err != nil {
		return err
	}
	var err error
	if m.clock, err = newClock(m.path("clock")); err != nil {
		return err
	}
	conf.BrokerCredentials, conf.StoreCredentials = m.path("amqp"), m.path("swift")
	conf.StateDirectory = m.path("state")
	for name, content := range map[string][]byte{
		"amqp": broker.File(config.KeyURI), "swift": account.Bytes(), "worker.conf": conf.Bytes(),
	} {
		if err := os.WriteFile(m.path(name), content, 0o600); err != nil {
			return err
		}
	}
	owner := m.stack.directory.Account()
	for _, name := range []string{"tmp", "amqp", "swift", "worker.conf"} {
		if err := os.Chown(m.path(name), owner.UID, owner.GID); err != nil {
			return err
		}
	}
	m.disk = disk{path: m.path("state"), uid: owner.UID, gid: owner.GID}
	return m.disk.mount()
}

// begun is how often the worker was started.
func (m *machine) begun() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.starts
}

// workerName is what the worker calls itself, until it loses its disk.
func (m *machine) workerName() (string, error) {
	content, err := os.ReadFile(filepath.Join(m.path("state"), "worker-id"))
	if err != nil {
		return "", fmt.Errorf("read the worker's name: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}

// start starts the worker, unless it runs or is not to.
func (m *machine) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.process != nil || m.closed {
		return nil
	}
	log, err := os.OpenFile(m.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	lines, theirs, err := os.Pipe()
	if err != nil {
		return errors.Join(err, log.Close())
	}
	owner := m.stack.directory.Account()
	// It lives on until it is told otherwise.
	command := exec.CommandContext(context.Background(), m.program, "--config", m.path("worker.conf"), "--log-format", "json", "--verbose")
	command.Dir = m.folder
	command.Env = []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + m.folder, "TMPDIR=" + m.path("tmp"), "LANG=C.UTF-8",
		"USER=" + owner.Name, clockVariable + "=" + m.clock.path,
		host.DirectoryMark + "=" + m.stack.directory.Path(), host.ProcessMark + "=" + m.name,
	}
	command.Stderr = theirs
	command.SysProcAttr = &syscall.SysProcAttr{
		Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: &syscall.Credential{Uid: uint32(owner.UID), Gid: uint32(owner.GID)},
	}
	err = command.Start()
	_ = theirs.Close()
	if err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", m.name, err), lines.Close(), log.Close())
	}
	p := &process{command: command, ended: make(chan struct{})}
	m.process = p
	m.starts++
	read := make(chan struct{})
	go func() {
		defer close(read)
		m.watch.read(m, lines, log)
		_ = errors.Join(lines.Close(), log.Close())
	}()
	go func() {
		p.err = command.Wait()
		<-read
		m.mu.Lock()
		m.process = nil
		m.mu.Unlock()
		close(p.ended)
	}()
	return nil
}

// signal sends a signal to the worker that runs now, and returns it; nil if none does.
func (m *machine) signal(s syscall.Signal) *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.process == nil {
		return nil
	}
	_ = m.process.command.Process.Signal(s) // an error means that it has just ended
	return m.process
}

// kill ends the worker without warning, and waits until it and everything that it had started is gone.
func (m *machine) kill(ctx context.Context) error {
	p := m.signal(syscall.SIGKILL)
	if p == nil {
		return nil
	}
	<-p.ended
	return m.deserted(ctx)
}

// desertedLimit bounds the end of what a killed worker has started: its namespaces go with it.
const desertedLimit = 10 * time.Second

// deserted waits until no process of the machine is left.
func (m *machine) deserted(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, desertedLimit)
	defer cancel()
	for {
		left, err := processesOf(m)
		if err != nil || len(left) == 0 {
			return err
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return fmt.Errorf("%s is dead for %s and this is left of it: %v", m.name, desertedLimit, left)
		}
	}
}

// stop lets the worker end in order, and kills it after the limit.
func (m *machine) stop(ctx context.Context, limit time.Duration) error {
	p := m.signal(syscall.SIGTERM)
	if p == nil {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case <-p.ended:
		return p.err
	case <-within.Done():
		if ctx.Err() != nil {
			return m.kill(context.WithoutCancel(ctx))
		}
		return errors.Join(fmt.Errorf("%s has not ended within %s", m.name, limit), m.kill(context.WithoutCancel(ctx)))
	}
}

// shut kills what runs and lets nothing start again.
func (m *machine) shut(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	return m.kill(ctx)
}

// down reports whether no worker runs.
func (m *machine) down() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.process == nil
}

// disk is a file system in memory, the worker's state directory. Its size can be changed, and one that is as large as what
// is on it is full, at no cost.
type disk struct {
	path     string
	uid, gid int
}

// diskSize is more than a run wants to see free before it begins. Memory is taken for what is written only.
const diskSize = "4g"

func (d disk) mount() error {
	options := fmt.Sprintf("mode=0700,size=%s,uid=%d,gid=%d", diskSize, d.uid, d.gid)
	if err := unix.Mount("autopkgtest-chaos", d.path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount a disk on %s: %w", d.path, err)
	}
	return nil
}

func (d disk) unmount() error {
	if err := unix.Unmount(d.path, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", d.path, err)
	}
	return nil
}

// fill leaves no block free.
func (d disk) fill() error {
	var err error
	for range 20 { // what is written meanwhile makes the size too small
		var now unix.Statfs_t
		if err := unix.Statfs(d.path, &now); err != nil {
			return err
		}
		used := (now.Blocks - now.Bfree) * uint64(now.Bsize)
		if err = d.resize(fmt.Sprint(max(used, uint64(now.Bsize)))); err == nil {
			return nil
		}
	}
	return err
}

func (d disk) resize(size string) error {
	if err := unix.Mount("", d.path, "", unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV, "size="+size); err != nil {
		return fmt.Errorf("resize the disk %s to %s: %w", d.path, size, err)
	}
	return nil
}

// empty makes the disk a new one.
func (d disk) empty() error { return errors.Join(d.unmount(), d.mount()) }

func (d disk) device() (uint64, error) {
	var stat unix.Stat_t
	err := unix.Stat(d.path, &stat)
	return stat.Dev, err
}

// sleep waits, and reports false when the context ended first.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
