package config

import (
	"fmt"
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
}

// DefaultEvery is the age at which an image is built anew when the configuration is silent.
const DefaultEvery = 24 * time.Hour

var imageSchema = schema{
	"image": {"release", "architecture", "directory", "mirror", "every", "include"},
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
	if d.err != nil {
		return Image{}, d.err
	}
	return i, nil
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
	return out.bytes()
}
