package config

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Image is image.conf: one testbed image and how it is kept fresh.
type Image struct {
	Release      string
	Architecture string
	Directory    string        // where RELEASE-ARCH.tar.zst is swapped in
	Mirror       string        // archive to build from; empty for the one that this machine uses
	Every        time.Duration // time between two builds; default 24 h
	Include      []string      // packages that are put in besides the minimum
	Cloud        *CloudImage   // set: the image is for servers of clouds, and lies in their image services instead of Directory
}

// CloudImage is where an image for servers of clouds comes from, and how it is proven. [nova] says which clouds: RCFiles, and of what
// else a server is made to prove it.
type CloudImage struct {
	Name     string // what the names of its images begin with; a time follows
	Source   string // URL or absolute path of a disk; empty: it is built, from Mirror and with Include
	Checksum string // 64 hexadecimal digits, or URL or absolute path of a list as sha256sum writes it; empty: Source is a path
	Canary   CloudCanary
	Nova     Nova
}

// CloudCanary is how an image of a cloud is proven.
type CloudCanary string

// The canaries: the tests of a package on a server of the image, or that such a server becomes ACTIVE.
const (
	CanaryTests CloudCanary = "tests"
	CanaryBoot  CloudCanary = "boot"
)

// DefaultEvery is the age at which an image is built anew when the configuration is silent.
const DefaultEvery = 24 * time.Hour

var imageSchema = schema{
	"image": {"release", "architecture", "directory", "mirror", "every", "include"},
	"cloud": {"name", "source", "checksum", "canary"},
	"nova":  {"rc_files", "key_file", "flavor", "novaopts"},
}

// LoadImage reads image.conf.
func LoadImage(path string) (Image, error) {
	d, err := load(path, imageSchema)
	if err != nil {
		return Image{}, err
	}
	i := Image{
		Release:      d.word("image", "release"),
		Architecture: d.word("image", "architecture"),
		Directory:    d.text("image", "directory"),
		Mirror:       d.url("image", "mirror", false),
		Every:        d.duration("image", "every", DefaultEvery),
		Include:      d.packages("image", "include"),
	}
	if _, there := d.lines["cloud"]; there {
		cloud := d.cloudImage()
		i.Cloud = &cloud
	}
	if d.err != nil {
		return Image{}, d.err
	}
	return i, nil
}

func (d *document) cloudImage() CloudImage {
	c := CloudImage{
		Name: d.text("cloud", "name"), Source: d.value("cloud", "source"), Checksum: d.value("cloud", "checksum"),
		Canary: CloudCanary(d.value("cloud", "canary")), Nova: d.nova(),
	}
	if c.Canary == "" {
		c.Canary = CanaryTests
	}
	c.Nova.BigFlavor = "" // has no key here
	for _, check := range []struct {
		key string
		err error
	}{
		{"name", CheckImageName(c.Name)}, {"source", CheckImageSource(c.Source)}, {"checksum", CheckImageChecksum(c.Source, c.Checksum)},
	} {
		if check.err != nil {
			d.fail("cloud", check.key, "%v", check.err)
		}
	}
	if c.Canary != CanaryTests && c.Canary != CanaryBoot {
		d.fail("cloud", "canary", "%q is neither %s nor %s", c.Canary, CanaryTests, CanaryBoot)
	}
	if len(c.Nova.RCFiles) == 0 {
		d.fail("nova", "rc_files", "missing, and it has no default")
	}
	if c.Nova.Flavor == "" {
		d.fail("nova", "flavor", "missing, and it has no default")
	}
	return c
}

// imageName leaves room for the time. Patterns of workers match such names as they stand.
var imageName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._/-]{0,99}$`)

// CheckImageName refuses what image services, or tags in them, would not take.
func CheckImageName(name string) error {
	if !imageName.MatchString(name) {
		return fmt.Errorf("%q is not a name of at most 100 letters, digits, dots, dashes, underscores and slashes", name)
	}
	return nil
}

// CheckImageSource refuses what is neither a web address nor an absolute path.
func CheckImageSource(source string) error {
	if source == "" {
		return nil
	}
	if hasPassword(source) {
		return errors.New("every account that reads the configuration would see the password in this URL; put the file on this machine")
	}
	if IsURL(source) || filepath.IsAbs(source) {
		return nil
	}
	return fmt.Errorf("%q is neither an absolute path nor an http or https URL", source)
}

// IsURL tells a web address from a path.
func IsURL(source string) bool {
	u, err := url.Parse(source)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

var sumPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// IsSHA256 tells a sum from where sums stand.
func IsSHA256(text string) bool { return sumPattern.MatchString(text) }

// CheckImageChecksum refuses a checksum that is none, and a disk from elsewhere that has none: what boots is what was meant.
func CheckImageChecksum(source, checksum string) error {
	switch {
	case checksum != "" && source == "":
		return errors.New("a disk that is built has none: name its source, or leave this out")
	case checksum == "" && IsURL(source):
		return errors.New("missing: a disk that comes over a network needs one, for instance the URL of its SHA256SUMS")
	case checksum == "" || IsSHA256(checksum):
		return nil
	}
	if err := CheckImageSource(checksum); err != nil {
		return errors.New("neither the 64 hexadecimal digits of a SHA-256, nor the path or URL of a list of such")
	}
	return nil
}

var packagePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]*$`)

// packages is a list of binary packages that may be missing.
func (d *document) packages(section, key string) []string {
	var names []string
	for _, name := range strings.Fields(d.value(section, key)) {
		if err := CheckPackage(name); err != nil {
			d.fail(section, key, "%v", err)
		}
		names = append(names, name)
	}
	return names
}

// CheckPackage refuses what cannot be the name of a package.
func CheckPackage(name string) error {
	if !packagePattern.MatchString(name) {
		return fmt.Errorf("%q is not a package's name", name)
	}
	return nil
}

// word is a list of words that has one.
func (d *document) word(section, key string) string {
	words := d.words(section, key)
	if len(words) > 1 {
		d.fail(section, key, "%d words, want one", len(words))
	}
	if len(words) == 0 {
		return ""
	}
	return words[0]
}

// Bytes is the file's content; LoadImage reads the same Image back, defaults filled in.
func (i Image) Bytes() []byte {
	out := newWriter("configuration of a testbed image")
	out.section("image")
	out.key("release", i.Release)
	out.key("architecture", i.Architecture)
	out.key("directory", i.Directory)
	out.key("mirror", i.Mirror)
	out.duration("every", i.Every)
	out.list("include", i.Include)
	if c := i.Cloud; c != nil {
		out.section("cloud")
		out.key("name", c.Name)
		out.key("source", c.Source)
		out.key("checksum", c.Checksum)
		out.key("canary", string(c.Canary))
		out.section("nova")
		out.list("rc_files", c.Nova.RCFiles)
		out.key("key_file", c.Nova.KeyFile)
		out.key("flavor", c.Nova.Flavor)
		out.key("novaopts", JoinQuoted(c.Nova.Options))
	}
	return out.bytes()
}
