// Package qemu is the backend for tests that need a machine of their own, with its kernel: a testbed is a virtual machine.
//
// It needs no privileges: qemu is an ordinary process of the run, in its namespaces, and the machine's network is qemu's own,
// whose connections that process makes, so that the run's filter holds for them. Where KVM works (see accelerator) the kernel
// runs the machine; elsewhere it is emulated, some ten times slower, and autopkgtest's limits are stretched.
//
// The disk is made of an image of ours, once (see disk), or is one that the operator names; it is never written to.
package qemu

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Name is the backend's name, and that of autopkgtest's virtualization server.
const Name = "qemu"

const (
	imagePath = "/images/unpacked"
	qemuPath  = "/backend/qemu-system-x86_64" // by its name, autopkgtest's server knows what it emulates
)

// The size of a machine that is made of one of our images.
const (
	processors = 2
	memoryMiB  = 2048
)

// How long a machine may take until one can log in, in seconds. One that is emulated needs a minute of two processors, and has
// been seen to wait ten minutes for that where ten others wanted them.
const (
	bootLimit         = 120
	bootLimitEmulated = 1800
)

// emulated is by how much an emulated machine stretches autopkgtest's limits.
const emulated = 5

// backend asks how machines are run here whenever it must know.
type backend struct{ accelerator func() accelerator }

var (
	_ testbed.Backend   = backend{}
	_ testbed.Furnisher = backend{}
)

func init() { testbed.Register(backend{machineAccelerator}) }

func (backend) Name() string { return Name }

// Arguments put our command before the operator's: if he names one, it is the later one that counts.
func (b backend) Arguments(t testbed.Testbed) []string {
	limit := bootLimit
	if !b.accelerator().kvm {
		limit = bootLimitEmulated
	}
	args := []string{Name, "--qemu-command=" + qemuPath, "--timeout-reboot=" + strconv.Itoa(limit)}
	if t.Given != nil {
		return append(args, t.Given...)
	}
	return append(args, "--cpus="+strconv.Itoa(processors), "--ram-size="+strconv.Itoa(memoryMiB), imagePath+"/"+diskFile)
}

func (b backend) Properties() testbed.Properties {
	p := testbed.Properties{
		Capabilities: []testbed.Capability{testbed.RootOnTestbed, testbed.Revert, testbed.RevertFullSystem,
			testbed.IsolationMachine, testbed.Reboot},
		Commands: map[string]string{"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "mke2fs": "e2fsprogs"},
		Packages: []string{"systemd-sysv", "udev", "dbus", "initramfs-tools", "python3-minimal", "linux-image-amd64"},
	}
	if found := b.accelerator(); !found.kvm {
		p.Stretch = emulated
		p.Remark = "machines are emulated, because " + found.reason
	}
	return p
}

var errArchitecture = errors.New("machines are made of our images for amd64 only: name a disk in [virt] args")

func (b backend) Furnish(t testbed.Testbed) (testbed.Furniture, error) {
	found := b.accelerator()
	f := testbed.Furniture{}
	if found.kvm {
		f.Devices = []string{"kvm"} // its presence has autopkgtest's server use it
	}
	if t.Given != nil {
		f.Files = map[string]string{qemuPath: command(found, false)}
		return f, nil
	}
	if t.Architecture != "amd64" {
		return testbed.Furniture{}, fmt.Errorf("a testbed of %s: %w", t.Architecture, errArchitecture)
	}
	f.Files = map[string]string{qemuPath: command(found, true)}
	f.Unpack, f.Shape = imagePath, disk
	return f, nil
}

// command is the qemu that autopkgtest's server calls. It adds what the server has no option for, or would split on blanks: how
// the machine is run, and what it boots if the disk has no boot loader.
func command(found accelerator, ours bool) string {
	text := "#!/bin/sh\nset -- \"$@\""
	if !found.kvm {
		text += " -accel tcg,thread=multi -cpu max"
	}
	if ours {
		text += " -kernel " + imagePath + "/" + kernelFile + " -initrd " + imagePath + "/" + initrdFile +
			" -append 'root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet'"
	}
	return text + "\nexec qemu-system-x86_64 \"$@\"\n"
}
