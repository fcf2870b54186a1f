package config

import (
	"net/netip"
	"regexp"
	"runtime"
	"strings"
)

// The backends that this package must know: the default, and the ones that the form of 2015 has sections for.
const (
	backendUnshare = "unshare"
	backendNova    = "nova"
	backendSSH     = "ssh"
)

// Virt is section [virt]: what follows `--` on autopkgtest's command line, as text with variables.
type Virt struct {
	Arguments          string // args; empty: the backend makes its own
	PackageSizeDefault string // what $PACKAGESIZE stands for
	PackageSizeBig     string // likewise, for big packages
}

// LXC is section [lxc] of 2015.
type LXC struct {
	Container string // name of the container to clone
	Options   []string
}

// PPA is where extra archives lie. In the URLs, $OWNER and $NAME stand for the archive's.
type PPA struct {
	URL        string
	PrivateURL string // for those with a password
	Keys       string // folder of signing keys; empty: PPAs need an autopkgtest that fetches them itself
}

// DefaultPPA is Launchpad.
var DefaultPPA = PPA{
	URL:        "https://ppa.launchpadcontent.net/$OWNER/$NAME/ubuntu",
	PrivateURL: "https://private-ppa.launchpadcontent.net/$OWNER/$NAME/ubuntu",
}

// Limits are those of one run, beside its time.
type Limits struct {
	Disk      Size
	Files     Count // with folders and links, empty ones too
	Log       Size  // its head and its tail are kept
	Memory    Size
	Processes Count // with threads
}

// DefaultLimits are above what the packages of a distribution need, and below what stops the machine: a file system of
// 20 GiB has 1.3 million inodes, and some tests start a thread for each processor several times over.
var DefaultLimits = Limits{Disk: 20 << 30, Files: 1_000_000, Log: 64 << 20, Memory: 8 << 30, Processes: 8192}

// Network is what tests may reach besides DNS and public addresses, and how.
type Network struct {
	Allow  []Destination
	Mirror string // of the archive
	Proxy  string

	// Kind is the way out: NetworkVeth, NetworkSlirp, or empty for the best one that there is.
	Kind string

	// Range and Range6 are where veth pairs get their addresses from, two of each for every test; not valid for the
	// worker's own choice.
	Range  netip.Prefix
	Range6 netip.Prefix
}

// The ways out of a test's network.
const (
	NetworkVeth  = "veth"  // the kernel's, through a pair of interfaces; needs root
	NetworkSlirp = "slirp" // slirp4netns, a process
	networkAuto  = "auto"  // what stands in a file for none of these
)

func (d *document) virt() Virt {
	return Virt{
		Arguments:          d.value("virt", "args"),
		PackageSizeDefault: d.value("virt", "package_size_default"),
		PackageSizeBig:     d.value("virt", "package_size_big"),
	}
}

func (v Virt) write(out *writer) {
	out.section("virt")
	out.key("args", v.Arguments)
	out.key("package_size_default", v.PackageSizeDefault)
	out.key("package_size_big", v.PackageSizeBig)
}

func (d *document) lxc() LXC {
	return LXC{Container: d.value("lxc", "container"), Options: d.quoted("lxc", "lxcopts")}
}

func (l LXC) write(out *writer) {
	out.section("lxc")
	out.key("container", l.Container)
	out.key("lxcopts", JoinQuoted(l.Options))
}

func (d *document) ppa() PPA {
	p := PPA{URL: d.url("ppa", "url", false), PrivateURL: d.url("ppa", "private_url", false), Keys: d.folderOr("ppa", "keys", "")}
	p.URL = either(p.URL, DefaultPPA.URL)
	p.PrivateURL = either(p.PrivateURL, DefaultPPA.PrivateURL)
	return p
}

func (p PPA) write(out *writer) {
	out.section("ppa")
	out.key("url", p.URL)
	out.key("private_url", p.PrivateURL)
	out.key("keys", p.Keys)
}

func (d *document) limits() Limits {
	return Limits{
		Disk:      d.size("limits", "disk", DefaultLimits.Disk),
		Files:     d.count("limits", "files", DefaultLimits.Files),
		Log:       d.size("limits", "log", DefaultLimits.Log),
		Memory:    d.size("limits", "memory", DefaultLimits.Memory),
		Processes: d.count("limits", "processes", DefaultLimits.Processes),
	}
}

func (l Limits) write(out *writer) {
	out.section("limits")
	out.key("disk", l.Disk.String())
	out.key("files", l.Files.String())
	out.key("log", l.Log.String())
	out.key("memory", l.Memory.String())
	out.key("processes", l.Processes.String())
}

func (d *document) network() Network {
	n := Network{
		Allow: d.destinations("network", "allow"), Mirror: d.url("network", "mirror", false), Proxy: d.url("network", "proxy", false),
		Kind: d.value("network", "kind"), Range: d.prefix("network", "range", 16, 31), Range6: d.prefix("network", "range6", 48, 127),
	}
	switch n.Kind {
	case networkAuto:
		n.Kind = ""
	case "", NetworkVeth, NetworkSlirp:
	default:
		d.fail("network", "kind", "%q is not %s, %s or %s", n.Kind, networkAuto, NetworkVeth, NetworkSlirp)
	}
	if n.Range.IsValid() && !n.Range.Addr().Is4() {
		d.fail("network", "range", "%s is of IPv6, which is range6", n.Range)
	}
	if n.Range6.IsValid() && !n.Range6.Addr().Is6() {
		d.fail("network", "range6", "%s is of IPv4, which is range", n.Range6)
	}
	if strings.Contains(n.Proxy, "@") {
		d.fail("network", "proxy", "every test would see the password in this URL; let the proxy know this machine by its address")
	}
	return n
}

func (n Network) write(out *writer) {
	out.section("network")
	words := make([]string, len(n.Allow))
	for i, destination := range n.Allow {
		words[i] = destination.String()
	}
	out.list("allow", words)
	out.key("mirror", n.Mirror)
	out.key("proxy", n.Proxy)
	out.key("kind", n.Kind)
	if n.Range.IsValid() {
		out.key("range", n.Range.String())
	}
	if n.Range6.IsValid() {
		out.key("range6", n.Range6.String())
	}
}

// prefix reads a network ADDRESS/BITS with a number of bits from least to most; it is not valid if there is none.
func (d *document) prefix(section, key string, least, most int) netip.Prefix {
	text := d.value(section, key)
	if text == "" {
		return netip.Prefix{}
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil || prefix.Addr().Is4In6():
		d.fail(section, key, "%q is not a network, ADDRESS/BITS", text)
	case prefix.Masked() != prefix:
		d.fail(section, key, "%q: the network is %s", text, prefix.Masked())
	case prefix.Bits() < least || prefix.Bits() > most:
		d.fail(section, key, "%q: the bits are to be from %d to %d", text, least, most)
	}
	return prefix
}

var backendPattern = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// backend names the backend, and checks that its part of the file is there.
func (d *document) backend(w Worker) string {
	name := d.value("autopkgtest", "backend")
	if name != "" && !backendPattern.MatchString(name) {
		d.fail("autopkgtest", "backend", "%q is not a backend's name", name)
	}
	if words := strings.Fields(w.Virt.Arguments); len(words) > 0 {
		if !backendPattern.MatchString(words[0]) {
			d.fail("virt", "args", "%q, the first word, is not a backend's name", words[0])
		}
		if name != "" && name != words[0] && (name != backendNova || words[0] != backendSSH) {
			d.fail("virt", "args", "the first word is %q, but [autopkgtest] backend is %q", words[0], name)
		}
		return either(name, words[0])
	}
	name = either(name, backendUnshare)
	switch name {
	case backendUnshare:
		d.text("unshare", "images")
	case backendNova:
		d.text("nova", "image_pattern")
		d.text("nova", "flavor")
	}
	return name
}

// architectures default to this machine's, which is what an upstream worker serves, unless somebody else will say them.
func (d *document) architectures(section, key string) []string {
	if !d.has(section, key) {
		if d.excused[section+"/"+key] {
			return nil
		}
		return []string{HostArchitecture()}
	}
	return d.words(section, key)
}

// HostArchitecture is Debian's name of this machine's architecture.
func HostArchitecture() string {
	if name, ok := map[string]string{"386": "i386", "arm": "armhf", "ppc64le": "ppc64el"}[runtime.GOARCH]; ok {
		return name
	}
	return runtime.GOARCH
}
