// Package unshare is the default backend: a testbed is a tarball, unpacked and entered in Linux namespaces by an account
// without privileges. A new testbed takes three seconds and is reverted by unpacking again.
//
// There is no init system in such a testbed, and it shares the machine's kernel: tests that ask for isolation-container
// or isolation-machine are skipped. The network of a testbed is that of its run (package testbed sees to that), and the
// tarball is built by package image.
package unshare

import "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"

// Name is the backend's name, and that of autopkgtest's virtualization server.
const Name = "unshare"

type backend struct{}

var _ testbed.Backend = backend{}

func init() { testbed.Register(backend{}) }

func (backend) Name() string { return Name }

// Arguments names release and architecture although the tarball decides: they appear in the log and in testinfo.json.
func (backend) Arguments(t testbed.Testbed) []string {
	if t.Given != nil {
		return append([]string{Name}, t.Given...)
	}
	return []string{Name, "--release", t.Release, "--arch", t.Architecture, "--tarball", t.Image}
}

func (backend) Properties() testbed.Properties {
	return testbed.Properties{
		Capabilities: []testbed.Capability{testbed.RootOnTestbed, testbed.Revert, testbed.RevertFullSystem},
		Commands: map[string]string{
			"unshare":     "util-linux",
			"newuidmap":   "uidmap",
			"newgidmap":   "uidmap",
			"tar":         "tar",
			"zstd":        "zstd",
			"useradd":     "passwd",
			"slirp4netns": "slirp4netns",
			"nft":         "nftables",
		},
	}
}
