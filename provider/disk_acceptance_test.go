//go:build acceptance

package provider

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"golang.org/x/sys/unix"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// TestAccDiskNearlyFull: a service that would fill its disk is refused, with the folder, the room that it needs and the
// way out, and nothing is left of the attempt. The disks are real ones, but small.
func TestAccDiskNearlyFull(t *testing.T) {
	t.Parallel()
	if !withOwnMounts(t) {
		return
	}
	server := func(kind string) func(directory string) string {
		return func(directory string) string {
			return providerBlock("acc", directory) + fmt.Sprintf("resource \"autopkgtest_%s_server\" \"test\" {}\n", kind)
		}
	}
	for name, tc := range map[string]struct {
		configuration func(directory string) string
		size          string // of the disk
		then          string // its size when there is a stack on it; empty for a stack that is yet to be made
		want          string // with DIRECTORY in it
	}{
		"a new stack": {server("rabbitmq"), "64m", "",
			`the file system of DIRECTORY has 6\d MiB left; with less than 256 MiB the broker takes no messages(.|\n)*Make room until ` +
				`512 MiB are free, or choose a folder on another disk`},
		"a new stack's store": {server("swift"), "64m", "",
			`the file system of DIRECTORY has 6\d MiB left, and 1024 are needed(.|\n)*Make room on it, or use a folder on another one`},
		"a broker in a stack that is there": {server("rabbitmq"), "1100m", "200m",
			`the file system of DIRECTORY has 1\d\d MiB left; with less than 256 MiB the broker takes no ` +
				`messages(.|\n)*Make room until 512 MiB are free, or choose a folder on another disk`},
		"a store in a stack that is there": {server("swift"), "1100m", "200m",
			`the file system of DIRECTORY/services/swift has 1\d\d MiB left; with less than 256 MiB the store refuses ` +
				`uploads(.|\n)*Make room until 512 MiB are free, or choose a folder on another disk`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := newStack(t)
			disk := filepath.Dir(directory)
			mountDisk(t, disk, tc.size)
			if tc.then != "" {
				makeStack(t, directory)
				resizeDisk(t, disk, tc.then)
			}
			resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{{
				Config: tc.configuration(directory), ExpectError: words(strings.ReplaceAll(tc.want, "DIRECTORY", directory)),
			}}})
			left, err := filepath.Glob(filepath.Join(disk, "*", "*"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(directory); err == nil {
				t.Errorf("a refused creation left the folder %s behind, with %q", directory, left)
			}
			if pids := processes(directory, ""); len(pids) > 0 {
				t.Errorf("a refused creation left the processes %v behind", pids)
			}
		})
	}
}

// makeStack makes a stack that holds nothing yet.
func makeStack(t *testing.T, directory string) *host.Directory {
	t.Helper()
	account, err := host.Choose("")
	if err != nil {
		t.Fatal(err)
	}
	d, err := host.Create(t.Context(), host.Options{Path: directory, Stack: "acc", Account: account})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// onOwnMounts marks a process whose mounts are its own.
const onOwnMounts = "AUTOPKGTEST_TEST_OWN_MOUNTS"

// withOwnMounts runs a test once more in a process whose mounts nobody else sees, and says whether this is that process.
// A plain user gets the right to mount in a user namespace, in which it still is who it was. However the process ends, its
// mounts end with it.
func withOwnMounts(t *testing.T) bool {
	t.Helper()
	if os.Getenv(onOwnMounts) != "" {
		return true
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), onOwnMounts+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Unshareflags: unix.CLONE_NEWNS | unix.CLONE_NEWUSER,
			UidMappings:  []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}},
			GidMappings:  []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}},
			AmbientCaps:  []uintptr{unix.CAP_SYS_ADMIN},
		}
	}
	out, err := cmd.CombinedOutput()
	t.Logf("in a process with mounts of its own:\n%s", out)
	if err != nil {
		t.Errorf("%v; to mount a small disk, root needs CAP_SYS_ADMIN, and others need user namespaces", err)
	}
	return false
}

// mountDisk puts a disk of its own below a folder until the test ends.
func mountDisk(t *testing.T, folder, size string) {
	t.Helper()
	account, err := host.Choose("")
	if err != nil {
		t.Fatal(err)
	}
	options := fmt.Sprintf("mode=0755,uid=%d,gid=%d,size=%s", account.UID, account.GID, size)
	if err := unix.Mount("tmpfs", folder, "tmpfs", 0, options); err != nil {
		t.Fatalf("mount a small disk on %s: %v", folder, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(folder, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount the small disk on %s: %v", folder, err)
		}
	})
}

func resizeDisk(t *testing.T, folder, size string) {
	t.Helper()
	if err := unix.Mount("", folder, "", unix.MS_REMOUNT, "size="+size); err != nil {
		t.Fatalf("give the disk on %s the size %s: %v", folder, size, err)
	}
}
