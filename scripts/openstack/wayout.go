package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// wayOutDevice is the interface of a room by which it reaches what the account reaches, less this machine's loopback.
const wayOutDevice = "tap0"

// resolver is where slirp4netns answers questions about names, as this machine would.
const resolver = "10.0.2.3"

// wayOutLimit bounds the start of slirp4netns, which takes some 20 ms on an idle machine.
const wayOutLimit = time.Minute

// startWayOut connects a room, of which pid is a process. It ends with ctx; when it ends by itself, cancel is called.
func startWayOut(ctx context.Context, cancel context.CancelCauseFunc, pid string) error {
	readyOut, readyIn, err := os.Pipe()
	if err != nil {
		return err
	}
	defer readyOut.Close()
	slirp := exec.CommandContext(ctx, "slirp4netns", "--configure", "--mtu=1500", "--disable-host-loopback", "--ready-fd=3",
		"--userns-path=/proc/"+pid+"/ns/user", pid, wayOutDevice)
	var said bytes.Buffer
	slirp.Stdout, slirp.Stderr = &said, &said
	slirp.ExtraFiles = []*os.File{readyIn}
	slirp.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = errors.Join(slirp.Start(), readyIn.Close())
	if err != nil {
		return fmt.Errorf("start slirp4netns: %w", err)
	}
	ended := make(chan error, 1)
	go func() {
		_ = slirp.Wait() // how it ended is in its state, also if that is no error
		err := fmt.Errorf("slirp4netns, the way out of guests, has ended: %s: %s", slirp.ProcessState, &said)
		ended <- err
		cancel(err)
	}()
	_ = readyOut.SetReadDeadline(time.Now().Add(wayOutLimit)) // a pipe has them
	if _, err := readyOut.Read(make([]byte, 1)); err != nil {
		_ = slirp.Process.Kill() // it may have ended
		return errors.Join(err, <-ended)
	}
	return nil
}
