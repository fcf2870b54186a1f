// Package lxc is the backend for tests that need a machine of their own in all but the kernel: a testbed is a container
// that is booted, with an init, and can be booted again.
//
// Its tools must be root of this machine, and who is root of such a container is not far from it: it is for packages that
// one trusts. The container's bridge is in the network of its run, so that the run's filter holds for it, and all of it
// goes with the run but the container's control groups, which Clean removes.
package lxc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Name is the backend's name, and that of autopkgtest's virtualization server.
const Name = "lxc"

const (
	imagePath = "/images/unpacked"
	stateRoot = "/var/lib/lxc"
	template  = "image" // the container that every testbed is a copy of
)

// The bridge's network lies beside that of the run, in the range for benchmarks.
const (
	bridge           = "lxcbr0"
	bridgeNetwork    = "198.19.254.0/24"
	bridgeAddress    = "198.19.254.1"
	containerAddress = "198.19.254.2"
)

type backend struct{}

var (
	_ testbed.Backend   = backend{}
	_ testbed.Furnisher = backend{}
	_ testbed.Cleaner   = backend{}
)

func init() { testbed.Register(backend{}) }

func (backend) Name() string { return Name }

// Arguments name the container, so that its control groups can be found again. A copy is an overlay on the image.
func (backend) Arguments(t testbed.Testbed) []string {
	if t.Given != nil {
		return append([]string{Name, "--name", t.Name}, t.Given...)
	}
	return []string{Name, "--name", t.Name, "--ephemeral", template}
}

func (backend) Properties() testbed.Properties {
	return testbed.Properties{
		Capabilities: []testbed.Capability{testbed.RootOnTestbed, testbed.Revert, testbed.RevertFullSystem,
			testbed.IsolationContainer, testbed.Reboot},
		Commands: map[string]string{"lxc-copy": "lxc", "lxc-start": "lxc", "lxc-attach": "lxc", "nft": "nftables"},
		Packages: []string{"systemd-sysv", "dbus"}, Privileged: true,
	}
}

var errNoImage = errors.New("its testbeds are made from our images, not from containers of this machine: leave away what names one")

func (backend) Furnish(t testbed.Testbed) (testbed.Furniture, error) {
	if t.Image == "" {
		return testbed.Furniture{}, errNoImage
	}
	return testbed.Furniture{
		Files: map[string]string{
			stateRoot + "/" + template + "/config": configuration,
			"/etc/lxc/lxc.conf":                    "lxc.lxcpath = " + stateRoot + "\n",
			"/etc/lxc/default.conf":                "lxc.net.0.type = empty\n",
		},
		Folders: []string{stateRoot, "/run", "/var/log/lxc", "/var/cache/lxc"},
		Unpack:  imagePath,
		Script:  network,
	}, nil
}

const configuration = `lxc.include = /usr/share/lxc/config/common.conf
lxc.uts.name = ` + testbed.Hostname + `
lxc.rootfs.path = dir:` + imagePath + `
lxc.apparmor.profile = unconfined
lxc.net.0.type = veth
lxc.net.0.link = ` + bridge + `
lxc.net.0.flags = up
lxc.net.0.ipv4.address = ` + containerAddress + `/24
lxc.net.0.ipv4.gateway = ` + bridgeAddress + `
`

// network makes a bridge in the network of the run, and a way from it to the run's own way out.
const network = `ip link add ` + bridge + ` type bridge
ip address add ` + bridgeAddress + `/24 dev ` + bridge + `
ip link set ` + bridge + ` up
echo 1 >/proc/sys/net/ipv4/ip_forward
nft -f - <<'RULES'
table ip testbed {
    chain out {
        type nat hook postrouting priority srcnat;
        ip saddr ` + bridgeNetwork + ` oifname != "` + bridge + `" masquerade
    }
}
RULES
`

// controlGroups is where all hierarchies of control groups are.
const controlGroups = "/sys/fs/cgroup"

// Clean ends what is left of a container and removes its control groups. Those below them are the container's own making.
func (backend) Clean(ctx context.Context, of testbed.Remains) error {
	return clean(ctx, controlGroups, of.Testbed.Name)
}

// Left are the control groups that the containers of any run have left.
func Left() []string {
	found, _ := groups(controlGroups, "autopkgtest-")
	return found
}

// lookEvery is how often the end of killed processes is looked for.
const lookEvery = 50 * time.Millisecond

// cleanLimit bounds the wait for them: they may be in the middle of input or output.
const cleanLimit = 30 * time.Second

func clean(ctx context.Context, root, name string) error {
	if name == "" {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, cleanLimit, errors.New("not done within "+cleanLimit.String()))
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		found, err := groups(root, name)
		for _, folder := range found {
			err = errors.Join(err, removeGroup(folder))
		}
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// groups finds the groups that lxc makes for a container whose name begins like this, in every hierarchy: lxc.payload.NAME,
// lxc.monitor.NAME, and with a number behind it where one was there before. They lie wherever the worker itself does.
func groups(root, name string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has just gone
		}
		if err != nil || !entry.IsDir() {
			return err
		}
		for _, kind := range []string{"lxc.payload.", "lxc.monitor.", "lxc.pivot."} {
			if strings.HasPrefix(entry.Name(), kind+name) {
				found = append(found, path)
				return fs.SkipDir
			}
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("look for the control groups of a container: %w", err)
	}
	return found, err
}

// removeGroup kills what is in a group and removes it with those below it, the deepest first. Their files go by themselves.
func removeGroup(folder string) error {
	var folders []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err == nil && entry.IsDir():
			folders = append(folders, path)
		case err == nil && entry.Name() == "cgroup.procs":
			killAll(path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look into a control group: %w", err)
	}
	slices.Reverse(folders)
	for _, folder := range folders {
		if err := os.Remove(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a control group: %w", err)
		}
	}
	return nil
}

// killAll kills the processes that a file lists. One that has ended meanwhile is no matter.
func killAll(path string) {
	text, _ := os.ReadFile(path) // without it, removing the group fails
	for _, field := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
