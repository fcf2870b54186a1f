package testbed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// inside is the outside's handle on the first process of a set of namespaces.
type inside struct {
	cmd     *exec.Cmd
	control net.Conn
	said    *lateTee // its standard error, which its command shares

	reports chan report   // closed when there will be no more
	gone    chan struct{} // closed when the process and all others of its namespaces have gone
}

// capabilities are what the first process needs before its ids are mapped and afterwards. Its command has all of them in
// the namespace, being started by root.
var capabilities = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_KILL, unix.CAP_CHOWN,
	unix.CAP_FOWNER, unix.CAP_DAC_OVERRIDE, unix.CAP_SYS_CHROOT, unix.CAP_SYS_PTRACE, unix.CAP_SETPCAP}

// startInside makes the namespaces. The first process in them is this program, see InsideMain; it is started through
// /proc/self/exe, so it is this very version even if the file has been replaced meanwhile.
func startInside(ctx context.Context, c confinement) (*inside, error) {
	var ids subordinate
	var err error
	switch {
	case c.plain:
	case !c.privileged:
		ids, err = currentSubordinate()
	case os.Geteuid() != 0:
		err = fmt.Errorf("%w: it is not root, which the tools of this kind of testbed must be", ErrAccount)
	}
	if err != nil {
		return nil, err
	}
	control, theirs, err := controlPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	p := &inside{
		// Not killed by the context: its command is to end first. See run.
		cmd: exec.CommandContext(context.WithoutCancel(ctx), "/proc/self/exe", insideArgument), control: control, said: &lateTee{},
		// The inside says at most five things, so that its reader never has to wait for us.
		reports: make(chan report, 5), gone: make(chan struct{}),
	}
	p.cmd.Args[0] = "autopkgtest-testbed"
	p.cmd.Dir = "/"
	p.cmd.Env = c.environment()
	p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, theirs) // insideControl
	p.cmd.Stdout = c.stdout
	p.cmd.Stderr = p.said
	p.said.also(c.stderr)
	// After its end nobody can hold the pipes open, but a wait without bound is not worth that belief.
	p.cmd.WaitDelay = 5 * time.Second
	flags := uintptr(unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS)
	if c.inside.Network != nil {
		flags |= unix.CLONE_NEWNET
	}
	// A session of its own: signals for the program's group are not for its runs, it ends them itself.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Setsid: true}
	switch {
	case c.plain:
		p.cmd.SysProcAttr = plainProcess()
	case !c.privileged:
		p.cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		p.cmd.SysProcAttr.AmbientCaps = capabilities
	}
	if err := p.cmd.Start(); err != nil {
		control.Close()
		return nil, fmt.Errorf("make namespaces for a run: %w%s", err, namespaceHint(err))
	}
	go readReports(control, p.reports)
	go func() {
		_ = p.cmd.Wait() // how it ended was said over the socket
		close(p.gone)
	}()
	if c.privileged || c.plain {
		return p, nil
	}
	if err := ids.giveTo(ctx, p.pid()); err != nil {
		p.destroy(c.log)
		return nil, err
	}
	return p, nil
}

// environment is that of the processes that keep the run.
func (c confinement) environment() []string {
	env := environment("/tmp")
	if c.mark != "" {
		env = append(env, runMark+"="+c.mark)
	}
	return env
}

// plainProcess has processes and mounts of its own. An account without privileges needs a user namespace to make them, in
// which it stays who it is.
func plainProcess() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID, Setsid: true}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		attributes.Cloneflags |= unix.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		attributes.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SYS_CHROOT}
	}
	return attributes
}

func namespaceHint(err error) string {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return ": accounts without privileges may not make user namespaces on this machine; see the sysctl settings " +
			"kernel.unprivileged_userns_clone (1) and kernel.apparmor_restrict_unprivileged_userns (0)"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		return ": the sysctl setting user.max_user_namespaces or one of its neighbours is used up"
	}
	return ""
}

func (p *inside) pid() int { return p.cmd.Process.Pid }

// tell sends orders. An error means that the inside is ending or gone.
func (p *inside) tell(what orders) error {
	if err := send(p.control, what); err != nil {
		return fmt.Errorf("talk to the first process of the run: %w", err)
	}
	return nil
}

// explain adds what the inside has printed to an error.
func (p *inside) explain(err error) error {
	if said := p.said.String(); said != "" {
		return fmt.Errorf("%w; it said: %s", err, said)
	}
	return err
}

// destroyLimit bounds the wait for the kernel to end killed processes: they may be in the middle of input or output.
const destroyLimit = 30 * time.Second

// destroy ends everything in the namespaces and returns when it has gone. It may be called when it has gone already.
func (p *inside) destroy(log *slog.Logger) {
	_ = p.cmd.Process.Kill() // an error means that it has ended
	timer := time.NewTimer(destroyLimit)
	defer timer.Stop()
	select {
	case <-p.gone:
	case <-timer.C:
		log.Error("processes of a run were killed and have not ended yet", "pid", p.pid(), "after", destroyLimit)
	}
	p.control.Close()
}
