//go:build acceptance

package provider

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"golang.org/x/sys/unix"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host/hosttest"
)

// TestAccDiskNearlyFull: a service that would fill its disk is refused, with the folder, the room that it needs and the
// way out, and nothing is left of the attempt. The disks are real ones, but small.
func TestAccDiskNearlyFull(t *testing.T) {
	t.Parallel()
	if !hosttest.Alone(t, hosttest.Mounts) {
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
		planned       bool   // refused by the plan, which leaves a folder as it is; an apply removes what nobody lives in
	}{
		"a new stack": {server("rabbitmq"), "64m", "",
			`the file system of DIRECTORY has 6\d MiB left; with less than 256 MiB the broker takes no messages(.|\n)*Make room until ` +
				`512 MiB are free, or choose a folder on another disk`, true},
		"a new stack's store": {server("swift"), "64m", "",
			`the file system of DIRECTORY has 6\d MiB left, and 1024 are needed(.|\n)*Make room on it, or use a folder on another one`, false},
		"a broker in a stack that is there": {server("rabbitmq"), "1100m", "200m",
			`the file system of DIRECTORY has 1\d\d MiB left; with less than 256 MiB the broker takes no ` +
				`messages(.|\n)*Make room until 512 MiB are free, or choose a folder on another disk`, true},
		"a store in a stack that is there": {server("swift"), "1100m", "200m",
			`the file system of DIRECTORY/services/swift has 1\d\d MiB left; with less than 256 MiB the store refuses ` +
				`uploads(.|\n)*Make room until 512 MiB are free, or choose a folder on another disk`, false},
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
			if _, err := os.Lstat(directory); err == nil != (tc.planned && tc.then != "") {
				t.Errorf("after a refused creation, the folder %s: %v, with %q", directory, err, left)
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
