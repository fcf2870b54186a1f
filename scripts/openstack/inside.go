package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// roomVerb is the inner side of a room.
const roomVerb = "room"

func roomCommand() *cobra.Command {
	var r room
	c := &cobra.Command{
		Use:    roomVerb + " --forward HOST:PORT... --bridge NAME -- COMMAND... [+ COMMAND...]...",
		Short:  "The inner side of agent",
		Hidden: true,
		Args:   cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, arguments []string) error {
			if err := r.furnish(c.Context()); err != nil {
				return err
			}
			return runAll(c.Context(), arguments)
		},
	}
	c.Flags().SetInterspersed(false)
	r.flags(c)
	return c
}

// furnish makes what the commands want to find, and hands the sockets out.
func (r *room) furnish(ctx context.Context) error {
	// The one that is there shows the machine's interfaces, and the agent looks for its bridges in it.
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return os.NewSyscallError("mount sysfs", err)
	}
	steps := [][]string{
		{"ip", "link", "set", "lo", "up"}, {"ip", "link", "add", r.bridge, "type", "bridge"}, {"ip", "link", "set", r.bridge, "up"},
	}
	if r.machines != "" {
		steps = append(steps, r.machineSteps()...)
	}
	for _, step := range steps {
		if out, err := exec.CommandContext(ctx, step[0], step[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", step, err, out)
		}
	}
	return r.handOut(ctx)
}

// libvirtFolders are where libvirt keeps what it knows. There is no other place for it, and the machine may have a libvirt of its own.
var libvirtFolders = []string{"/etc/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt"}

// machineSteps are for a room in which machines run.
func (r *room) machineSteps() [][]string {
	var steps [][]string
	// In /run are iproute2's namespaces and iptables' lock, too.
	for _, folder := range append([]string{"/run"}, libvirtFolders...) {
		steps = append(steps, []string{"mount", "-t", "tmpfs", "tmpfs", folder})
	}
	return append(steps,
		[]string{"mkdir", "/run/netns", "/run/lock", "/etc/libvirt/qemu"},
		[]string{"cp", filepath.Join(r.machines, "qemu.conf"), "/etc/libvirt/"},
		[]string{"ip", "address", "add", r.address, "dev", r.bridge},
		[]string{"sysctl", "-qw", "net.ipv4.ip_forward=1"},
		// By device: what is bridged goes through here as well, and must not be changed.
		[]string{"iptables", "-t", "nat", "-A", "POSTROUTING", "-o", wayOutDevice, "-j", "MASQUERADE"},
	)
}

// runAll runs commands as the first process of its namespace, until one of them ends. Its own end is that of all others.
func runAll(ctx context.Context, arguments []string) error {
	names := map[int]string{}
	for _, words := range split(arguments) {
		c := exec.CommandContext(ctx, words[0], words[1:]...)
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		if err := c.Start(); err != nil {
			return err
		}
		names[c.Process.Pid] = strings.Join(words, " ")
	}
	for {
		var status syscall.WaitStatus
		// Whoever loses its parent in here becomes our child.
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return os.NewSyscallError("wait4", err)
		case names[pid] != "":
			return fmt.Errorf("%s has ended: exit code %d, signal %d", names[pid], status.ExitStatus(), status.Signal())
		}
	}
}

// split is what plus separates.
func split(words []string) (commands [][]string) {
	for len(words) > 0 {
		end := slices.Index(words, plus)
		if end < 0 {
			return append(commands, words)
		}
		if end > 0 {
			commands = append(commands, words[:end])
		}
		words = words[end+1:]
	}
	return commands
}
