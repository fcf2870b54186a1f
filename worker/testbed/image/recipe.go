package image

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// recipeVersion is raised when a change of this package must rebuild every image although no option has changed.
const recipeVersion = 1

// basePackages are what every test needs: the archive's certificates, and dpkg-source to unpack the package.
var basePackages = []string{"ca-certificates", "dpkg-dev"}

// buildOptions are mmdebstrap's. apt's lists stay, because without them each test with a dependency would fail and blame
// its package. Documents and translations of the base system are left out, which halves the time to unpack it; packages
// that a test installs have theirs, see finish.
var buildOptions = []string{
	"--mode=root", // of a user namespace; see testbed.Command
	"--variant=apt",
	"--format=tar",
	"--skip=cleanup/apt/lists,chroot/mount/sys",
	`--aptopt=Acquire::Languages "none"`,
	`--aptopt=Acquire::GzipIndexes "true"`,
	`--aptopt=APT::Install-Recommends "false"`,
	"--dpkgopt=force-unsafe-io",
	"--dpkgopt=path-exclude=/usr/share/man/*",
	"--dpkgopt=path-exclude=/usr/share/locale/*",
	"--dpkgopt=path-exclude=/usr/share/doc/*",
	"--dpkgopt=path-include=/usr/share/doc/*/copyright",
}

// finish is run on the new system before it is packed. What this machine's build has left of itself is replaced: its
// host name, and its resolver, which need not be reachable from a testbed and may change.
var finish = []string{
	// autopkgtest's --apt-pocket wants it there.
	`for f in "$1"/etc/apt/sources.list.d/*.list; do [ ! -e "$f" ] || { cat "$f" >>"$1"/etc/apt/sources.list; rm "$f"; }; done`,
	`sed -i '/^path-/d' "$1"/etc/dpkg/dpkg.cfg.d/99mmdebstrap`,
	`rm -f "$1"/etc/resolv.conf "$1"/etc/hostname "$1"/etc/hosts`,
	`echo 'nameserver ` + testbed.Nameserver + `' >"$1"/etc/resolv.conf`,
	`echo ` + testbed.Hostname + ` >"$1"/etc/hostname`,
	`printf '` + strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(testbed.Hosts) + `' >"$1"/etc/hosts`,
}

// recipe is what decides how an image turns out, as far as it is known without asking the archive. Its hash tells
// whether an image that is there, or one that comes from elsewhere, is what would be built.
type recipe struct {
	Version      int
	Release      string
	Architecture string
	Mirror       string
	Proxy        string
	Include      []string
	Options      []string
	Finish       []string
	Sources      []source // this machine's that may be used
	Disk         string   `json:",omitempty"` // makes a disk instead of a tarball: a script, see disk.sh
}

func newRecipe(cfg config.Image, host []source, proxy string) recipe {
	r := recipe{Version: recipeVersion, Release: cfg.Release, Architecture: cfg.Architecture, Mirror: cfg.Mirror,
		Proxy: proxy, Include: append(append([]string{}, basePackages...), cfg.Include...), Options: buildOptions, Finish: finish}
	if cfg.Mirror == "" {
		r.Sources = append(candidates(cfg, host), hostPockets(cfg, host)...)
	}
	return r
}

// hash identifies the recipe.
func (r recipe) hash() string {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // it is made of strings
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// sourcesList is the new system's /etc/apt/sources.list. It is in the one-line form, the only one that autopkgtest's
// --apt-pocket understands, and has the sources too, without which no package's tests can be fetched.
func sourcesList(sources []source) string {
	var out strings.Builder
	for _, s := range sources {
		for _, kind := range []string{"deb", "deb-src"} {
			out.WriteString(strings.Join(append([]string{kind, s.URI, s.Suite}, s.Components...), " ") + "\n")
		}
	}
	return out.String()
}

// buildFiles are the files that a build reads. What may hold a password is in a file: a command line is for everybody.
type buildFiles struct {
	list   string // sources.list
	proxy  string // apt.conf that names a proxy; not there without one
	output string
	script string // recipe.Disk
}

// proxyOptions is the content of buildFiles.proxy. It becomes a part of the image.
func (r recipe) proxyOptions() string {
	return fmt.Sprintf("Acquire::http::Proxy %q;\nAcquire::https::Proxy %[1]q;\n", r.Proxy)
}

// arguments is mmdebstrap's command line.
func (r recipe) arguments(sources []source, files buildFiles) []string {
	args := append([]string{}, r.Options...)
	args = append(args, "--architectures="+r.Architecture, "--include="+strings.Join(r.Include, ","))
	if r.Proxy != "" {
		args = append(args, "--aptopt="+files.proxy)
	}
	seen := map[string]bool{}
	for _, s := range sources {
		if s.SignedBy != "" && !seen[s.SignedBy] {
			seen[s.SignedBy] = true
			args = append(args, "--keyring="+s.SignedBy)
		}
	}
	for _, command := range r.Finish {
		args = append(args, "--customize-hook="+command)
	}
	if r.Disk != "" {
		script, output := config.JoinQuoted([]string{files.script}), config.JoinQuoted([]string{files.output})
		args = append(args, `--customize-hook=sh `+script+` "$1" `+output)
		return append(args, r.Release, "/dev/null", files.list)
	}
	return append(args, r.Release, files.output, files.list)
}
