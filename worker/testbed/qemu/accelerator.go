package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

// accelerator is how machines are run here.
type accelerator struct {
	kvm    bool
	reason string // why not by KVM
}

// machineAccelerator finds it out once: the kernel stays the same as long as the program runs.
var machineAccelerator = sync.OnceValue(func() accelerator {
	return findAccelerator("/dev/kvm", probe)
})

// findAccelerator looks whether the device can be used, and whether a machine really runs on it: it may be there, open, and
// never get a machine through its firmware, as on a virtual machine that passes on too little of its processor.
func findAccelerator(device string, try func(context.Context) error) accelerator {
	if runtime.GOARCH != "amd64" {
		return accelerator{reason: "their architecture is not this machine's"}
	}
	file, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return accelerator{reason: fmt.Sprintf("KVM cannot be used: %v", err)}
	}
	file.Close()
	ctx, cancel := context.WithTimeoutCause(context.Background(), probeLimit, errors.New("still not done after "+probeLimit.String()))
	defer cancel()
	if err := try(ctx); err != nil {
		return accelerator{reason: fmt.Sprintf("%s is there, but runs no machine: %v", device, err)}
	}
	return accelerator{kvm: true}
}

// probeLimit is for what takes a third of a second where KVM works, and a second when it is emulated.
const probeLimit = 10 * time.Second

// probeEnd is what the firmware of a machine without a disk says in the end. Until then it has been through the processor's
// older modes.
var probeEnd = []byte("No bootable device.")

// probe runs the firmware of an empty machine.
func probe(ctx context.Context) error {
	command := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "kvm", "-m", "64", "-nodefaults", "-no-user-config",
		"-display", "none", "-chardev", "stdio,id=said", "-device", "isa-debugcon,iobase=0x402,chardev=said")
	command.Dir = "/"
	command.WaitDelay = time.Second
	return await(ctx, command, probeEnd)
}

// await starts a program, waits until it prints a text, and ends it.
func await(ctx context.Context, command *exec.Cmd, text []byte) error {
	out, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	var complaint bytes.Buffer
	command.Stderr = &complaint
	if err := command.Start(); err != nil {
		return err
	}
	found := reads(out, text)
	_ = command.Process.Kill()
	ended := command.Wait()
	switch {
	case found:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("qemu ended: %w: %s", ended, bytes.TrimSpace(complaint.Bytes()))
}

// reads says whether a text comes before the end.
func reads(from io.Reader, text []byte) bool {
	var said []byte
	for part := make([]byte, 4096); ; {
		n, err := from.Read(part)
		said = append(said, part[:n]...)
		if bytes.Contains(said, text) {
			return true
		}
		if err != nil || len(said) > 1<<20 {
			return false
		}
	}
}
