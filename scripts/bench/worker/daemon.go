package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// daemon is the real worker program, as the services' account.
type daemon struct {
	command *exec.Cmd
	lines   chan line     // of its log
	ended   chan struct{} // closed when it has
}

// line is what we want to know of a line of its log.
type line struct {
	Time     time.Time     `json:"time"`
	Message  string        `json:"msg"`
	Run      string        `json:"run"`
	State    string        `json:"state"`
	RunID    string        `json:"run_id"`
	Duration time.Duration `json:"duration"`
	Error    string        `json:"error"`
}

// startWorker starts a worker for a queue.
func (c *cloud) startWorker(q request.Queue, slots int) (*daemon, error) {
	folder := filepath.Join(c.folder, q.Release)
	owner := c.directory.Account()
	for _, name := range []string{"", "tmp", "images", "state"} {
		if err := os.MkdirAll(filepath.Join(folder, name), 0o755); err != nil {
			return nil, err
		}
	}
	conf := config.Worker{
		Releases: []string{q.Release}, Architectures: []string{q.Architecture}, Contexts: []string{string(q.Context)}, Slots: slots,
		Timeout: time.Minute, DrainTimeout: time.Second, CheckoutDir: c.checkout(), Images: filepath.Join(folder, "images"),
		StateDirectory: filepath.Join(folder, "state"), BrokerCredentials: filepath.Join(folder, "amqp"),
		StoreCredentials: filepath.Join(folder, "swift"),
	}
	for name, content := range map[string][]byte{
		"amqp": c.broker.File(config.KeyURI), "swift": c.account.Bytes(), "worker.conf": conf.Bytes(),
		"images/" + q.Release + "-" + q.Architecture + ".tar.zst": []byte("none: for a stub\n"),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	err := filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, owner.UID, owner.GID))
	})
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(context.Background(), c.program(), "--config", filepath.Join(folder, "worker.conf"),
		"--log-format", "json", "--verbose")
	command.Dir = folder
	command.Env = []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + folder, "TMPDIR=" + filepath.Join(folder, "tmp"), "LANG=C.UTF-8",
		"USER=" + owner.Name, host.DirectoryMark + "=" + c.directory.Path(), host.ProcessMark + "=bench-" + q.Release,
	}
	command.SysProcAttr = &syscall.SysProcAttr{
		Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: &syscall.Credential{Uid: uint32(owner.UID), Gid: uint32(owner.GID)},
	}
	said, err := command.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	d := &daemon{command: command, lines: make(chan line, 4096), ended: make(chan struct{})}
	go func() {
		defer close(d.ended)
		defer close(d.lines)
		d.read(said, c.log)
		_ = command.Wait()
	}()
	return d, nil
}

func (d *daemon) read(said io.Reader, log *os.File) {
	for scanner := bufio.NewScanner(said); scanner.Scan(); {
		if log != nil {
			fmt.Fprintln(log, scanner.Text())
		}
		var l line
		if json.Unmarshal(scanner.Bytes(), &l) == nil {
			d.lines <- l
		}
	}
}

// awaitLimit is for one request, on a busy machine.
const awaitLimit = 2 * time.Minute

// await reads the log until a line is the wanted one, and returns all lines up to it.
func (d *daemon) await(ctx context.Context, what string, wanted func(line) bool) ([]line, error) {
	timer := time.NewTimer(awaitLimit)
	defer timer.Stop()
	var lines []line
	for {
		select {
		case l, open := <-d.lines:
			if !open {
				return nil, fmt.Errorf("wait for %s: the worker has ended; its last words: %+v", what, lines)
			}
			lines = append(lines, l)
			if wanted(l) {
				return lines, nil
			}
		case <-timer.C:
			return nil, fmt.Errorf("wait for %s: nothing within %s; meanwhile: %+v", what, awaitLimit, lines)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// stop ends the worker and waits for it.
func (d *daemon) stop() {
	_ = d.command.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(awaitLimit, func() { _ = d.command.Process.Kill() })
	defer timer.Stop()
	for range d.lines { // its log must not be held up
	}
	<-d.ended
}

func said(message string) func(line) bool { return func(l line) bool { return l.Message == message } }

const (
	saidDone    = "request done"
	saidWaiting = "waiting for requests"
	saidRun     = "autopkgtest ended"
)
