package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// room is a set of namespaces in which agents are root, may make bridges and machines as they like, and reach the given addresses of
// the machine and nothing else. agentCommand is its outer side, which is the cloud's process; roomCommand (inside.go) the inner one.
type room struct {
	forwards []string // addresses of the machine that are reached from within; see relay.go
	bridge   string

	// The rest is for a room in which machines run, and empty for others.

	address  string // of the bridge, as ip has it
	machines string // folder with what libvirt wants to find in /etc/libvirt
	pidFile  string // where the first process inside is written down, for those who enter
}

// asRoot is the begin of a command that is root of namespaces of its own. It has all ids of the account: libvirt, dnsmasq and dpkg change
// theirs. The end of its first process is that of all, also of those that have made themselves independent.
var asRoot = []string{"unshare", "--user", "--map-auto", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"}

// plus is between the commands that run in one room.
const plus = "+"

// agentVerb is the outer side of a room.
const agentVerb = "agent"

func agentCommand() *cobra.Command {
	var r room
	c := &cobra.Command{
		Use:    agentVerb + " --forward HOST:PORT... --bridge NAME -- COMMAND... [+ COMMAND...]...",
		Short:  "Run commands in a network namespace from which they reach the given addresses",
		Hidden: true,
		Args:   cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, arguments []string) error {
			return r.run(c.Context(), arguments)
		},
	}
	c.Flags().SetInterspersed(false)
	r.flags(c)
	return c
}

func (r *room) flags(c *cobra.Command) {
	c.Flags().StringArrayVar(&r.forwards, "forward", nil, "an address that is reached from within")
	c.Flags().StringVar(&r.bridge, "bridge", "", "the bridge that the namespace has")
	c.Flags().StringVar(&r.address, "address", "", "the bridge's address")
	c.Flags().StringVar(&r.machines, "machines", "", "libvirt's configuration, for a room in which machines run")
	c.Flags().StringVar(&r.pidFile, "pid-file", "", "file for the id of the first process inside")
}

// arguments make the same room on the other side. They are the words of agent as well.
func (r *room) arguments(command string, commands ...string) []string {
	all := []string{command, "--bridge", r.bridge}
	for _, forward := range r.forwards {
		all = append(all, "--forward", forward)
	}
	if r.machines != "" {
		all = append(all, "--address", r.address, "--machines", r.machines, "--pid-file", r.pidFile)
	}
	return append(append(all, "--"), commands...)
}

// run makes the room and waits for its end.
func (r *room) run(ctx context.Context, commands []string) error {
	// The death of this very thread would end the room: see Pdeathsig.
	runtime.LockOSThread()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	outer, inner := os.NewFile(uintptr(pair[0]), "room"), os.NewFile(uintptr(pair[1]), "room")
	defer outer.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// Nothing needs to be told to end, and unshare would not pass it on.
	words := append(slices.Clone(asRoot), "--net", "--", self)
	within := exec.CommandContext(ctx, words[0], append(words[1:], r.arguments(roomVerb, commands...)...)...)
	within.Stdout, within.Stderr = os.Stdout, os.Stderr
	within.ExtraFiles = []*os.File{inner} // insideSocket
	within.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := within.Start(); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	err = errors.Join(inner.Close(), r.relay(ctx, outer))
	if err == nil && r.machines != "" {
		err = r.open(ctx, cancel, within.Process.Pid)
	}
	if err != nil {
		cancel(err)
	}
	if ended := within.Wait(); ctx.Err() == nil {
		return ended
	}
	return context.Cause(ctx)
}

// open gives the room a way out, and says where it is. When the way out is lost, cancel is called.
func (r *room) open(ctx context.Context, cancel context.CancelCauseFunc, parent int) error {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
	if err != nil {
		return err
	}
	first := strings.TrimSpace(string(children))
	// Before anything in there can have reported: see reportedInside.
	if err := os.WriteFile(r.pidFile, []byte(first), 0o644); err != nil { //nolint:gosec // it is no secret
		return err
	}
	return startWayOut(ctx, cancel, first)
}
