package testbed

import (
	"os"
	"path/filepath"
)

// tree is the file system that a run sees instead of this machine's. Tests are root of a testbed, and root leaves a
// chroot at will: what they find outside of it is this, not the account's credentials and queues.
type tree struct {
	At    string            `json:"at"`    // an empty folder of this machine, to mount the tree on
	Binds []bind            `json:"binds"` // in order
	Links map[string]string `json:"links"`
	Files map[string]string `json:"files"` // name → content
	Dirs  []string          `json:"dirs"`

	// Devices are further ones of this machine, below /dev.
	Devices []string `json:"devices,omitempty"`

	// Machine shows this machine's own devices and kernel files instead of the few that a testbed needs.
	Machine bool `json:"machine,omitempty"`

	// Privileged adds what the tools of containers need and what a user namespace would take the edge off: terminals,
	// the devices of tunnels and user file systems, control groups.
	Privileged bool `json:"privileged,omitempty"`
}

// bind shows a file or folder of this machine at another place.
type bind struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Write bool   `json:"write,omitempty"`
}

// systemTree is the part of a tree that is the same for all runs: this machine's programs, readable, and what they need
// of /etc. The rest of the machine is not there: no home, no /var, no /run, no service's configuration.
func systemTree(at string) tree {
	t := tree{
		At: at,
		Files: map[string]string{
			"/etc/passwd":        "root:x:0:0:root:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
			"/etc/group":         "root:x:0:\nnogroup:x:65534:\n",
			"/etc/subuid":        nested,
			"/etc/subgid":        nested,
			"/etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
			"/etc/hostname":      Hostname + "\n",
			"/etc/hosts":         Hosts,
			"/etc/resolv.conf":   "nameserver " + Nameserver + "\n",
		},
		Links: map[string]string{},
		Dirs:  []string{"/run", "/var/tmp", "/root", "/cwd", "/mnt"},
	}
	for _, name := range []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"} {
		t.show(name)
	}
	for _, pattern := range []string{"alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "timezone",
		"python3", "python3.*", "perl", "debian_version", "os-release", "lsb-release", "magic"} {
		names, _ := filepath.Glob(filepath.Join("/etc", pattern)) // the patterns are ours and well-formed
		for _, name := range names {
			t.show(name)
		}
	}
	return t
}

// machineTree is this machine's own file system, to which the places of a run can be added; but folders for temporary files
// are the run's, below its scratch folder.
func machineTree(at, folder string) (tree, error) {
	t := tree{At: at, Files: map[string]string{}, Links: map[string]string{}, Machine: true}
	entries, err := os.ReadDir("/")
	if err != nil {
		return tree{}, err
	}
	for _, entry := range entries {
		name := "/" + entry.Name()
		switch {
		case name == "/proc", name == "/tmp":
		case entry.Type()&os.ModeSymlink != 0:
			if target, err := os.Readlink(name); err == nil {
				t.Links[name] = target
			}
		default:
			t.Binds = append(t.Binds, bind{From: name, To: name, Write: true})
		}
	}
	temporary := filepath.Join(folder, "vartmp")
	if err := os.MkdirAll(temporary, 0o700); err != nil {
		return tree{}, err
	}
	t.Binds = append(t.Binds, bind{From: temporary, To: "/var/tmp", Write: true})
	return t, nil
}

// Hostname is the name of every testbed, and Hosts its /etc/hosts: programs that ask for their own address get one.
const (
	Hostname = "testbed"
	Hosts    = "127.0.0.1\tlocalhost\n127.0.1.1\t" + Hostname + "\n::1\tlocalhost ip6-localhost ip6-loopback\n"
)

// show shows a file, folder or link of this machine at the same place, if it is there.
func (t *tree) show(name string) {
	info, err := os.Lstat(name)
	if err != nil {
		return
	}
	if info.Mode()&os.ModeSymlink == 0 {
		t.Binds = append(t.Binds, bind{From: name, To: name})
		return
	}
	if target, err := os.Readlink(name); err == nil {
		t.Links[name] = target
	}
}
