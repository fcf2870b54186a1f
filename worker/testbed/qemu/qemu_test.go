package qemu

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/programtest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

func TestArguments(t *testing.T) {
	t.Parallel()
	if _, err := testbed.Lookup(Name); err != nil {
		t.Fatal(err)
	}
	b := emulating()
	noble := testbed.Testbed{Release: "noble", Architecture: "amd64", Image: "/images/noble-amd64.tar.zst"}
	want := []string{"qemu", "--qemu-command=" + qemuPath, "--timeout-reboot=1800", "--cpus=2", "--ram-size=2048", "/images/unpacked/disk.img"}
	if got := b.Arguments(noble); !slices.Equal(got, want) {
		t.Errorf("arguments %q", got)
	}
	noble.Given = []string{"--ram-size=8192", "/srv/noble.img"}
	if got := b.Arguments(noble); !slices.Equal(got, append(want[:3:3], noble.Given...)) {
		t.Errorf("the operator's: %q", got)
	}
}

// emulating is a backend on a machine without KVM.
func emulating() backend {
	return backend{func() accelerator { return accelerator{reason: "there is no KVM"} }}
}

func TestProperties(t *testing.T) {
	t.Parallel()
	p := emulating().Properties()
	if p.Privileged || p.Stretch != emulated || !strings.Contains(p.Remark, "there is no KVM") {
		t.Errorf("emulated: %+v", p)
	}
	fast := backend{func() accelerator { return accelerator{kvm: true} }}
	if p := fast.Properties(); p.Stretch > 1 || p.Remark != "" {
		t.Errorf("with KVM: %+v", p)
	}
	if got := fast.Arguments(testbed.Testbed{}); !slices.Contains(got, "--timeout-reboot=120") {
		t.Errorf("with KVM: %q", got)
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		found accelerator
		ours  bool
		want  string
	}{
		"kvm, the operator's disk": {accelerator{kvm: true}, false, ""},
		"emulated":                 {accelerator{}, false, "-accel tcg,thread=multi -cpu max"},
		"kvm, our disk": {
			accelerator{kvm: true}, true,
			"-kernel /images/unpacked/vmlinuz -initrd /images/unpacked/initrd.img -append root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet",
		},
	} {
		folder := t.TempDir()
		ours, theirs := filepath.Join(folder, "ours"), filepath.Join(folder, "qemu-system-x86_64")
		programtest.Write(t, ours, command(test.found, test.ours))
		programtest.Write(t, theirs, "#!/bin/sh\necho \"$*\"\n")
		call := exec.Command(ours, "-m", "64")
		call.Env = []string{"PATH=" + folder + ":/usr/bin:/bin"}
		out, err := call.CombinedOutput()
		if want := strings.TrimSpace("-m 64 " + test.want); err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%s: %q, error %v, want %q", name, out, err, want)
		}
	}
}

func TestFindAccelerator(t *testing.T) {
	t.Parallel()
	device := filepath.Join(t.TempDir(), "kvm")
	if err := os.WriteFile(device, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	runs := func(context.Context) error { return nil }
	if found := findAccelerator(device, runs); !found.kvm {
		t.Errorf("%+v", found)
	}
	stuck := func(context.Context) error { return errors.New("stuck in its firmware") }
	if found := findAccelerator(device, stuck); found.kvm || !strings.Contains(found.reason, "stuck in its firmware") {
		t.Errorf("%+v", found)
	}
	if found := findAccelerator(filepath.Join(t.TempDir(), "kvm"), runs); found.kvm || !strings.Contains(found.reason, "no such file") {
		t.Errorf("%+v", found)
	}
}

func TestAwait(t *testing.T) {
	t.Parallel()
	shell := func(script string) error {
		limit := time.Minute
		if strings.Contains(script, "sleep") {
			limit = 100 * time.Millisecond
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), limit, errors.New("the time is over"))
		defer cancel()
		return await(ctx, exec.CommandContext(ctx, "sh", "-c", script), []byte("No bootable device."))
	}
	if err := shell("echo SeaBIOS; echo 'No bootable device.'; exec cat /dev/zero"); err != nil {
		t.Error(err)
	}
	if err := shell("echo SeaBIOS; echo no such processor >&2; exit 1"); err == nil || !strings.Contains(err.Error(), "no such processor") {
		t.Errorf("ended: %v", err)
	}
	if err := shell("exec sleep 1000"); err == nil || !strings.Contains(err.Error(), "the time is over") {
		t.Errorf("hung: %v", err)
	}
}

func TestFurnish(t *testing.T) {
	t.Parallel()
	if _, err := emulating().Furnish(testbed.Testbed{Architecture: "arm64"}); !errors.Is(err, errArchitecture) {
		t.Errorf("arm64: %v", err)
	}
	f, err := emulating().Furnish(testbed.Testbed{Architecture: "arm64", Given: []string{"/srv/arm64.img"}})
	if err != nil || f.Unpack != "" || strings.Contains(f.Files[qemuPath], "-kernel") {
		t.Errorf("the operator's disk: %+v, %v", f, err)
	}
}

// TestDisk makes a disk of a small system, if not one that boots.
func TestDisk(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "image")
	for name, text := range map[string]string{"boot/vmlinuz-6.1.0-9-amd64": "old", "boot/vmlinuz-6.1.0-30-amd64": "new",
		"boot/initrd.img-6.1.0-30-amd64": "initrd", "etc/passwd": "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"} {
		path := filepath.Join(folder, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	shape := func() ([]byte, error) {
		command := exec.Command("sh", "-ec", disk)
		command.Dir = folder
		command.Env = append(os.Environ(), "PATH=/usr/sbin:/sbin:"+os.Getenv("PATH"))
		return command.CombinedOutput()
	}
	if out, err := shape(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	entries, err := os.ReadDir(folder)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if err != nil || !slices.Equal(names, []string{diskFile, initrdFile, kernelFile}) {
		t.Errorf("%q, error %v", names, err)
	}
	if kernel, err := os.ReadFile(filepath.Join(folder, kernelFile)); err != nil || string(kernel) != "new" {
		t.Errorf("kernel %q, error %v", kernel, err)
	}
	if out, err := shape(); err == nil || !strings.Contains(string(out), "no kernel") {
		t.Errorf("an image without a kernel: %v: %s", err, out)
	}
}
