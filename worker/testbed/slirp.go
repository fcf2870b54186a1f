package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// slirp is a run's way out: slirp4netns, which makes connections for it as an ordinary process of the account. What the
// run can reach is what that process can reach, less this machine's loopback and what the filter refuses.
type slirp struct {
	cmd    *exec.Cmd
	exit   *os.File // the process ends when nobody holds this any more: when we close it, or die
	output *tailWriter
	ended  chan struct{}
}

// slirpStart bounds the start of slirp4netns, which takes some 20 ms.
const slirpStart = 10 * time.Second

// startSlirp connects the network namespace of a process, and returns when the interface in there is configured. The
// namespace of a privileged run belongs to no user namespace of its own.
func startSlirp(ctx context.Context, pid int, c confinement) (*slirp, error) {
	path, err := findCommand("slirp4netns", "slirp4netns")
	if err != nil {
		return nil, err
	}
	readyOut, readyIn, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe for slirp4netns: %w", err)
	}
	defer readyOut.Close()
	exitOut, exitIn, err := os.Pipe()
	if err != nil {
		readyIn.Close()
		return nil, fmt.Errorf("make a pipe for slirp4netns: %w", err)
	}
	s := &slirp{exit: exitIn, output: &tailWriter{}, ended: make(chan struct{})}
	// Not killed by the context: the run's command is to end first.
	args := []string{"--configure", "--mtu=65520", "--disable-host-loopback", "--cidr=" + runNetwork, "--enable-sandbox",
		"--enable-seccomp", "--ready-fd=3", "--exit-fd=4"}
	if c.inside.Network.IPv6 {
		args = append(args, "--enable-ipv6")
	}
	if !c.privileged {
		args = append(args, "--userns-path=/proc/"+strconv.Itoa(pid)+"/ns/user")
	}
	s.cmd = exec.CommandContext(context.WithoutCancel(ctx), path, append(args, strconv.Itoa(pid), wayOutDevice)...)
	s.cmd.ExtraFiles = []*os.File{readyIn, exitOut}
	s.cmd.Env = c.environment()
	s.cmd.Dir = "/"
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	s.cmd.WaitDelay = time.Second
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = s.cmd.Start()
	readyIn.Close()
	exitOut.Close()
	if err != nil {
		exitIn.Close()
		return nil, fmt.Errorf("start slirp4netns: %w", err)
	}
	go func() {
		_ = s.cmd.Wait() // why it ended is in its output
		close(s.ended)
	}()
	if err := awaitByte(ctx, readyOut, slirpStart); err != nil {
		s.stop(slog.Default())
		if errors.Is(err, io.EOF) {
			err = errors.New("slirp4netns ended")
		}
		return nil, fmt.Errorf("connect the run's network: %w%s: it said: %s", err, tunHint(), s.lastWords())
	}
	return s, nil
}

// awaitByte reads one byte, or fails when the other end is closed, the time is over or the context ends.
func awaitByte(ctx context.Context, from *os.File, limit time.Duration) error {
	if err := from.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = from.SetReadDeadline(time.Unix(1, 0)) })()
	_, err := from.Read(make([]byte, 1))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// tunHint explains the commonest failure.
func tunHint() string {
	const device = "/dev/net/tun"
	file, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return fmt.Sprintf(" (%v: slirp4netns needs it; as root: modprobe tun; chmod 0666 %s)", err, device)
	}
	file.Close()
	return ""
}

func (s *slirp) gone() <-chan struct{} { return s.ended }

func (s *slirp) lost() string { return "slirp4netns ended: " + s.lastWords() }

// lastWords are what the process has printed, without its remark on the filter of system calls that we ask for.
func (s *slirp) lastWords() string {
	var lines []string
	for line := range strings.Lines(s.output.String()) {
		if text := strings.TrimSpace(line); text != "" && !strings.Contains(text, "seccomp is experimental") {
			lines = append(lines, text)
		}
	}
	return strings.Join(lines, "; ")
}

// stop ends the process and waits for it.
func (s *slirp) stop(log *slog.Logger) {
	s.exit.Close()
	timer := time.NewTimer(2 * time.Second)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-timer.C:
		log.Warn("slirp4netns had to be killed", "pid", s.cmd.Process.Pid)
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
}
