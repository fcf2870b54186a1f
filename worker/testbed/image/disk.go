package image

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// diskScript makes a disk of the new system.
//
//go:embed disk.sh
var diskScript string

// diskPackages are what a server of a cloud needs besides: an init, what sets it up at its first boot, and a way to log in.
var diskPackages = []string{
	"systemd-sysv", "udev", "dbus", "cloud-init", "cloud-guest-utils", "fdisk", "grub-pc-bin", "openssh-server", "sudo",
	"iproute2", "netbase",
}

// kernels are those for virtual machines, with what configures the network there: by the archive's origin.
var kernels = map[string][]string{
	"Debian": {"linux-image-cloud-amd64", "ifupdown", "isc-dhcp-client"},
	"Ubuntu": {"linux-image-virtual", "netplan.io", "systemd-resolved"},
}

// diskFinish is for disks what finish is for tarballs. Who a server is, its cloud says.
var diskFinish = []string{
	finish[0], finish[1],
	`rm -f "$1"/etc/resolv.conf "$1"/etc/hostname "$1"/etc/hosts "$1"/etc/ssh/ssh_host_*`,
	// No package of the minimum makes locales.
	`echo 'locale: false' >"$1"/etc/cloud/cloud.cfg.d/90_testbed.cfg`,
}

// newDiskRecipe is newRecipe for a disk.
func newDiskRecipe(cfg config.Image, host []source, proxy string) recipe {
	r := newRecipe(cfg, host, proxy)
	r.Include = append(slices.Clone(r.Include), diskPackages...)
	r.Options = slices.Clone(r.Options)
	r.Options[slices.Index(r.Options, "--format=tar")] = "--format=null" // the script has the system before it is removed
	r.Finish, r.Disk = diskFinish, diskScript
	return r
}

// DiskRecipe identifies how BuildDisk would build: a disk that was built after another recipe is another disk.
func DiskRecipe(ctx context.Context, cfg config.Image) string {
	return newDiskRecipe(cfg, hostSources("/"), aptProxy(ctx)).hash()
}

// BuildDisk builds a disk from which servers of clouds boot, in the format qcow2, and returns its path in a folder, which holds everything
// that it makes. It takes minutes. Such disks are for amd64, and boot as PCs have always done.
func BuildDisk(ctx context.Context, cfg config.Image, folder string, log *slog.Logger) (string, error) {
	if cfg.Architecture != "amd64" {
		return "", fmt.Errorf("disks for %s cannot be built, only for amd64: name one as source", cfg.Architecture)
	}
	if err := findDiskTools(); err != nil { // rather than at the end of minutes
		return "", err
	}
	k, err := newKeeper(ctx, cfg, log)
	if err != nil {
		return "", err
	}
	k.recipe = newDiskRecipe(cfg, k.host, k.recipe.Proxy)
	path, _, err := k.build(ctx, folder)
	return path, err
}

// diskTools are the programs of the script that not every machine has, and their packages.
var diskTools = map[string]string{"qemu-img": "qemu-utils", "mke2fs": "e2fsprogs", "sfdisk": "fdisk"}

func findDiskTools() error {
	for tool, of := range diskTools {
		found := false
		for _, folder := range []string{"", "/usr/sbin", "/sbin"} { // accounts without privileges may not have these in their PATH
			_, err := exec.LookPath(filepath.Join(folder, tool))
			found = found || err == nil
		}
		if !found {
			return fmt.Errorf("build a disk: there is no %s on this machine: install %s, or name a disk as source", tool, of)
		}
	}
	return nil
}

// kernel is what a disk needs besides for its archive.
func (r recipe) kernel(origin string) ([]string, error) {
	if r.Disk == "" {
		return nil, nil
	}
	if packages := kernels[origin]; packages != nil {
		return packages, nil
	}
	return nil, fmt.Errorf("it is not known which kernel of %s is for virtual machines, only Debian's and Ubuntu's are: name a disk as "+
		"source", origin)
}
