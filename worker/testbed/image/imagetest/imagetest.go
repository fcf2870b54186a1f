// Package imagetest has testbed images for tests: built once, then kept.
package imagetest

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/image"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

var building sync.Mutex

// Image returns an image of this machine's release. One with further packages is of a kind of its own, which names a folder
// below that of the others.
func Image(t testing.TB, kind string, packages ...string) (string, request.Queue) {
	t.Helper()
	queue := testbedtest.ThisMachine(t)
	folder := filepath.Join(testbedtest.Images(t), kind)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	building.Lock()
	defer building.Unlock()
	cfg := config.Image{Release: queue.Release, Architecture: queue.Architecture, Directory: folder, Include: packages}
	if err := image.Once(t.Context(), cfg, slog.New(slog.NewTextHandler(t.Output(), nil))); err != nil {
		t.Fatal(err)
	}
	return testbed.ImagePath(folder, queue), queue
}

// Machine returns an image of this machine's release that can be booted: it has an init, and a server to log in to.
func Machine(t testing.TB) (string, request.Queue) {
	t.Helper()
	return Image(t, "machine", "systemd-sysv", "dbus", "openssh-server")
}

// Kernel returns an image of this machine's release that brings its own kernel, for machines that are made of it.
func Kernel(t testing.TB) (string, request.Queue) {
	t.Helper()
	return Image(t, "kernel", "systemd-sysv", "udev", "dbus", "linux-image-"+testbedtest.ThisMachine(t).Architecture, "initramfs-tools",
		"python3-minimal")
}
