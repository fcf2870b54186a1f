// Package lxd is the backend for tests that need a machine of their own in all but the kernel, in containers whose root is
// nobody outside: LXD gives each one a user namespace with ids that no account of this machine has.
//
// There are two kinds of testbeds. Those of our images are made by a daemon of the run's own: it is started in the namespaces of
// the run, in less than a second, knows one image and one network, whose way out is the run's with its filter, and goes with
// the run. An operator's arguments, which name an image of his, are for a daemon that is there: this machine's, or a remote
// one's. Its containers are in that daemon's network, without our filter: what they reach is its operator's to say.
//
// Both are reached through a client of our own (see client) that gives containers the name of their run, by which Clean finds
// them.
package lxd

import (
	"context"
	"errors"
	"hash/fnv"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/container"
)

// Name is the backend's name, and that of autopkgtest's virtualization server.
const Name = "lxd"

const (
	image        = "testbed" // as the run's own daemon calls it
	stateRoot    = "/var/lib/lxd"
	uptimeRoot   = "/var/lib/lxcfs"
	clientFolder = "/backend/bin"
	preseedPath  = "/backend/preseed"
	metadataPath = "/backend/image/metadata.yaml"
)

type backend struct{}

var (
	_ testbed.Backend   = backend{}
	_ testbed.Furnisher = backend{}
	_ testbed.Cleaner   = backend{}
)

func init() { testbed.Register(backend{}) }

func (backend) Name() string { return Name }

func (backend) Arguments(t testbed.Testbed) []string {
	if t.Given != nil {
		return append([]string{Name}, t.Given...)
	}
	return []string{Name, image}
}

func (backend) Properties() testbed.Properties {
	return testbed.Properties{
		Capabilities: []testbed.Capability{testbed.RootOnTestbed, testbed.Revert, testbed.RevertFullSystem,
			testbed.IsolationContainer, testbed.Reboot},
		Commands: map[string]string{"lxc": "lxd-client", "nft": "nftables"},
		Packages: []string{"systemd-sysv", "dbus"}, Privileged: true,
	}
}

var errNoDaemon = errors.New("the program lxd or lxcfs is not installed: install Debian's package lxd (its service need not run)")

func (backend) Furnish(t testbed.Testbed) (testbed.Furniture, error) {
	if t.Given != nil {
		return furnishGiven(t)
	}
	if t.Image == "" {
		return testbed.Furniture{}, errNoImage
	}
	for _, program := range []string{"lxd", "lxcfs"} {
		if _, err := exec.LookPath(program); err != nil {
			return testbed.Furniture{}, errNoDaemon
		}
	}
	f := testbed.Furniture{
		Files: map[string]string{
			preseedPath:   preseed,
			metadataPath:  "architecture: " + t.Architecture + "\ncreation_date: 1\nproperties: {release: " + t.Release + "}\n",
			"/etc/subuid": ids(t.Name),
			"/etc/subgid": ids(t.Name),
		},
		Folders: []string{stateRoot, uptimeRoot, "/run", "/var/log/lxd", "/var/cache/lxd"},
		Script:  container.Network + start(t),
	}
	withClient(&f, t)
	return f, nil
}

var errNoImage = errors.New("there is no image for its testbeds, and no arguments that name one")

// The ids of containers are above all that useradd gives to accounts and their subordinates (SUB_UID_MAX is 600100000), and
// below those with the highest bit, which some programs take for negative.
const (
	firstID = 1_100_000_000
	idCount = 65536
	idSlots = 13_000
)

// ids are those of the containers of one run, as a line of /etc/subuid. Two runs seldom have the same: what the kernel counts
// or keeps for each account, keyrings for example, they then do not share either.
func ids(name string) string {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(name)) // never fails
	return "root:" + strconv.FormatUint(firstID+uint64(hash.Sum32()%idSlots)*idCount, 10) + ":" + strconv.Itoa(idCount) + "\n"
}

// preseed is what the run's daemon is told at once: where containers lie, and that their only interface is on the run's
// bridge, with an address that needs nobody who gives it out.
const preseed = `storage_pools:
- name: default
  driver: dir
profiles:
- name: default
  config:
    raw.lxc: |-
      lxc.net.0.ipv4.address = ` + container.Address + `
      lxc.net.0.ipv4.gateway = ` + container.Gateway + `
  devices:
    root:
      type: disk
      pool: default
      path: /
    eth0:
      type: nic
      nictype: bridged
      parent: ` + container.Bridge + `
      name: eth0
`

// start starts the daemon and gives it the image. A container's uptime, by which autopkgtest's server knows that it was booted
// again, is its own only with lxcfs, which has to be there first. The daemon watches /dev, which must be a mount for that. A
// user namespace may mount no more than there is already: a /sys that can be written is needed for that of the container.
func start(t testbed.Testbed) string {
	return `mount --rbind /dev /dev
mount -o remount,rw /sys
said=` + stateRoot + `/daemon.log
lxcfs --foreground ` + uptimeRoot + ` >"$said.lxcfs" 2>&1 &
lxd --group root >"$said" 2>&1 &
daemon=$!
tries=60
until lxd waitready --timeout=2 2>/dev/null && [ -e ` + uptimeRoot + `/proc/uptime ]; do
    tries=$((tries - 1))
    if [ $tries = 0 ] || ! kill -0 $daemon; then
        tail -n 3 "$said" "$said.lxcfs" >&2
        exit 1
    fi
done
lxd init --preseed <` + preseedPath + `
tar -cf /tmp/metadata.tar -C ` + filepath.Dir(metadataPath) + ` ` + filepath.Base(metadataPath) + `
lxc image import /tmp/metadata.tar ` + t.Image + ` --alias ` + image + ` >/dev/null
rm /tmp/metadata.tar
`
}

// Clean removes the containers of a run: those in an operator's daemon by their names, and of the run's own daemon, which has
// ended, the control groups.
func (backend) Clean(ctx context.Context, of testbed.Remains) error {
	if of.Testbed.Given != nil {
		return cleanGiven(ctx, of.Testbed)
	}
	return container.Clean(ctx, of.Testbed.Name)
}
