package machinetest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
)

// configuration of the container. It is a privileged one, like the machine that it stands for: accounts in it make namespaces
// of their own, for which it must see a whole /proc and /sys; what would change this machine through that is masked in its tree.
const configuration = `lxc.include = /usr/share/lxc/config/common.conf
lxc.uts.name = %[1]s
lxc.arch = linux64
lxc.apparmor.profile = unconfined
lxc.rootfs.path = overlay:%[2]s:%[3]s/changes
lxc.mount.auto =
lxc.mount.auto = cgroup:mixed proc:rw sys:rw
lxc.mount.entry = /dev/net/tun dev/net/tun none bind,create=file,optional 0 0
lxc.cgroup.devices.allow = c 10:200 rwm
lxc.cgroup2.devices.allow = c 10:200 rwm
lxc.signal.halt = SIGRTMIN+4
lxc.hook.start = /uncover-proc
lxc.net.0.type = veth
lxc.net.0.flags = up
lxc.net.0.name = eth0
lxc.net.0.veth.pair = %[4]s
lxc.net.0.ipv4.address = %[6]s/30
lxc.net.0.ipv4.gateway = %[5]s
lxc.net.0.script.up = %[3]s/up
`

// uncoverProc takes away what LXC puts over a part of /proc: as long as anything does, accounts get no fresh one for their namespaces.
const uncoverProc = "#!/bin/sh\numount /proc/sys/kernel/random/boot_id 2>/dev/null\nexit 0\n"

// up gives this machine's end of the cable its address, and has machines reach each other by way of this one. It runs at each boot: the
// cable is a new one then.
const up = `#!/bin/sh
set -e
ip address add %[1]s/30 dev %[2]s
echo 1 >/proc/sys/net/ipv4/conf/%[2]s/forwarding
echo 0 >/proc/sys/net/ipv4/conf/%[2]s/rp_filter
`

// prepare writes what the container is made of.
func (m *Machine) prepare(tree string) error {
	ours, theirs, err := freeNetwork()
	if err != nil {
		return err
	}
	m.address = theirs.String()
	m.cable = cableTo(theirs)
	key := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", m.Key())
	if out, err := key.CombinedOutput(); err != nil {
		return fmt.Errorf("make a key: %w\n%s", err, out)
	}
	public, err := os.ReadFile(m.Key() + ".pub")
	if err != nil {
		return err
	}
	var errs []error
	write := func(name, text string, perm os.FileMode) {
		path := filepath.Join(m.folder, name)
		errs = append(errs, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), perm))
	}
	write("changes/root/.ssh/authorized_keys", string(public), 0o600)
	write("changes/etc/hostname", m.name+"\n", 0o644)
	// It finds its own name, and asks nobody about others: nobody would answer, and programs wait for that.
	write("changes/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 "+m.name+"\n", 0o644)
	write("changes/etc/resolv.conf", "", 0o644)
	write("changes/uncover-proc", uncoverProc, 0o755)
	write("up", fmt.Sprintf(up, ours, m.cable), 0o700)
	write(filepath.Join(m.name, "config"), fmt.Sprintf(configuration, m.name, tree, m.folder, m.cable, ours, theirs), 0o644)
	for _, closed := range []string{"changes/root", "changes/root/.ssh"} {
		errs = append(errs, os.Chmod(filepath.Join(m.folder, closed), 0o700))
	}
	return errors.Join(append(errs, os.Chmod(m.folder, 0o755))...)
}

// cableTo names this machine's end of the cable to an address that freeNetwork gives: the kernel takes up to 15 letters, and no name twice.
func cableTo(address netip.Addr) string {
	octets := address.As4()
	return fmt.Sprintf("mt%x%02x%02x", os.Getpid(), octets[2], octets[3])
}

// freeNetwork picks two addresses of a network of four, in the range that is set aside for trials between machines.
func freeNetwork() (ours, theirs netip.Addr, err error) {
	for range 100 {
		begin := netip.AddrFrom4([4]byte{198, 18, byte(rand.IntN(256)), byte(rand.IntN(64) * 4)})
		ours = begin.Next()
		theirs = ours.Next()
		out, err := exec.Command("ip", "-4", "route", "show", "match", theirs.String()).Output()
		if err != nil {
			return ours, theirs, fmt.Errorf("ask for this machine's routes: %w", err)
		}
		if taken := bytes.Contains(out, []byte(netip.PrefixFrom(begin, 30).String())); !taken {
			return ours, theirs, nil
		}
	}
	return ours, theirs, errors.New("this machine has routes to all networks of 198.18.0.0/16")
}
