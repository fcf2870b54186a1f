package testbed

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// machineCapabilities are those that no testbed's tools need and with which a mistake of root of this machine does most harm:
// what they change is the whole machine's, whatever the namespaces. In a user namespace they count for nothing.
var machineCapabilities = []uintptr{unix.CAP_SYS_MODULE, unix.CAP_SYS_RAWIO, unix.CAP_SYS_TIME, unix.CAP_WAKE_ALARM}

// dropCapabilities takes rights from what this thread starts, for good: root of the run gets back what is in the bounding
// set, and nothing else. In a user namespace that a test makes for itself it has all of them again, but only over what
// belongs to that.
//
// The run's network belongs to this namespace. Whoever may administer it can remove the filter, so that right goes, also
// from this process, which tests in the same user namespace could trace. Only tools that must be root of this machine keep
// it: they make bridges, and their containers have networks of their own.
func dropCapabilities(config insideConfig) error {
	drop := machineCapabilities
	if !config.Privileged {
		if config.Network == nil {
			return nil
		}
		drop = []uintptr{unix.CAP_NET_ADMIN}
		if err := giveUp(unix.CAP_NET_ADMIN); err != nil {
			return err
		}
	}
	for _, capability := range drop {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
			return fmt.Errorf("take capability %d from the run: %w", capability, err)
		}
	}
	return nil
}

// giveUp takes a capability from all threads of this process.
func giveUp(capability int) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("look at the rights of the run: %w", err)
	}
	mask := ^uint32(1 << (capability % 32))
	for _, set := range []*uint32{&data[capability/32].Effective, &data[capability/32].Permitted, &data[capability/32].Inheritable} {
		*set &= mask
	}
	// A program that is built with C, as for the race detector, can only do it for one thread.
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data)), 0)
	if errno == 0 {
		return nil
	}
	if !errors.Is(errno, unix.ENOTSUP) {
		return fmt.Errorf("give up capability %d: %w", capability, errno)
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("give up capability %d: %w", capability, err)
	}
	return nil
}

// forgetKeys gives what this thread starts a keyring of its own. The one that it has is that of whoever has started the
// program, with that account's keys in it, and a user namespace would not take it away.
func forgetKeys() error {
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if err != nil && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) { // no keys, or a container that hides them
		return fmt.Errorf("give the run a keyring of its own: %w", err)
	}
	return nil
}
