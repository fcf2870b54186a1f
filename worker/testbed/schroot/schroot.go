// Package schroot is the backend for many small tests: a testbed is an overlay on an image that lies unpacked, made in a
// tenth of a second instead of three.
//
// schroot runs in the namespaces of a run like everything else, as their root, which is an account without privileges
// outside. Its configuration is our own: a profile that shows neither /home nor /tmp, and a set-up script instead of
// Debian's, because an overlay that is mounted without privileges needs an option, and because nothing of this machine is to
// be copied into a testbed. Sessions and overlays lie in the run's folder and go with it.
package schroot

import (
	"errors"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Name is the backend's name, and that of autopkgtest's virtualization server.
const Name = "schroot"

const (
	imagePath = "/images/unpacked"
	stateRoot = "/var/lib/schroot"
	user      = "schroot" // for tests that need not be root
)

type backend struct{}

var (
	_ testbed.Backend   = backend{}
	_ testbed.Furnisher = backend{}
)

func init() { testbed.Register(backend{}) }

func (backend) Name() string { return Name }

// Arguments end with the schroot's name, the only one that there is in a run.
func (backend) Arguments(t testbed.Testbed) []string {
	if t.Given != nil {
		return append([]string{Name}, t.Given...)
	}
	return []string{Name, chroot(t)}
}

func chroot(t testbed.Testbed) string { return t.Release + "-" + t.Architecture }

func (backend) Properties() testbed.Properties {
	return testbed.Properties{
		Capabilities: []testbed.Capability{testbed.RootOnTestbed, testbed.Revert},
		Commands:     map[string]string{"schroot": "schroot", "mount": "mount"},
		User:         user,
	}
}

var errNoImage = errors.New("its testbeds are made from our images, not from schroots of this machine: leave away what names one")

func (backend) Furnish(t testbed.Testbed) (testbed.Furniture, error) {
	if t.Image == "" {
		return testbed.Furniture{}, errNoImage
	}
	return testbed.Furniture{
		Files: map[string]string{
			"/etc/schroot/schroot.conf":          "# See chroot.d.\n",
			"/etc/schroot/chroot.d/" + chroot(t): configuration(t),
			"/etc/schroot/setup.d/10testbed":     setup,
			"/etc/schroot/testbed/fstab":         "",
			"/etc/schroot/testbed/copyfiles":     "",
			"/etc/schroot/testbed/nssdatabases":  "",
			"/etc/pam.d/schroot": "auth required pam_permit.so\naccount required pam_permit.so\n" +
				"session required pam_permit.so\n",
		},
		Folders: []string{stateRoot, "/var/run"},
		Unpack:  imagePath,
		Script: "mkdir -p " + stateRoot + "/session " + stateRoot + "/mount " + stateRoot + "/unpack " + stateRoot +
			"/union/overlay " + stateRoot + "/union/underlay /var/run/schroot/mount",
	}, nil
}

func configuration(t testbed.Testbed) string {
	return strings.Join([]string{
		"[" + chroot(t) + "]", "type=directory", "directory=" + imagePath, "union-type=overlay", "profile=testbed",
		"users=root", "root-users=root", "",
	}, "\n")
}

// setup mounts a testbed when a session begins, and takes it apart when it ends. What it cannot unmount, because a test has
// left something running, goes with the run.
const setup = `#!/bin/sh
set -e
overlay=$CHROOT_UNION_OVERLAY_DIRECTORY
root=$CHROOT_MOUNT_LOCATION
case $1 in
setup-start)
    mkdir -p "$overlay/upper" "$overlay/work" "$root"
    mount -t overlay -o "lowerdir=$CHROOT_DIRECTORY,upperdir=$overlay/upper,workdir=$overlay/work,userxattr" testbed "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount -t tmpfs -o mode=755,size=1m dev "$root/dev"
    for name in null zero full random urandom tty console; do
        : >"$root/dev/$name"
        mount --bind "/dev/$name" "$root/dev/$name"
    done
    for link in fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
        case $link in
        *:*) ln -s "/proc/self/${link#*:}" "$root/dev/${link%:*}" ;;
        *) ln -s "/proc/self/$link" "$root/dev/$link" ;;
        esac
    done
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,gid=5,mode=620,ptmxmode=666 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
    chroot "$root" useradd --create-home ` + user + `
    ;;
setup-stop)
    umount --recursive --lazy "$root" || true
    rm -rf "$overlay"
    rmdir "$root" || true
    ;;
esac
`
