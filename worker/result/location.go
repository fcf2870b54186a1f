package result

import (
	"fmt"
	"regexp"
	"strings"
)

// Location is where a run lies in the store.
type Location struct {
	Container    string
	Release      string
	Architecture string
	Package      string
	RunID        RunID
}

// Dir is the folder of the run's objects in its container, without a slash at either end.
func (l Location) Dir() string {
	return PackagePrefix(l.Release, l.Architecture, l.Package) + string(l.RunID)
}

// Object is the full name of one of the run's objects in its container.
func (l Location) Object(name string) string { return l.Dir() + "/" + name }

var (
	wordPattern    = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._+]*$`)
	packagePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.+-]*$`)
)

// ParseDir reads a Dir: exactly RELEASE/ARCH/PREFIX/PACKAGE/RUNID. The container is not part of it and stays empty. The
// prefix is not compared with the package, because upstream's seeding of a new release makes one up: a reader to whom
// it matters compares Dir with what it parsed.
func ParseDir(dir string) (Location, error) {
	fields := strings.Split(dir, "/")
	if len(fields) != 5 {
		return Location{}, fmt.Errorf("run folder %q: %d parts, want RELEASE/ARCH/PREFIX/PACKAGE/RUNID", dir, len(fields))
	}
	l := Location{Release: fields[0], Architecture: fields[1], Package: fields[3], RunID: RunID(fields[4])}
	switch {
	case !wordPattern.MatchString(l.Release):
		return Location{}, fmt.Errorf("run folder %q: %q is not a release", dir, l.Release)
	case !wordPattern.MatchString(l.Architecture):
		return Location{}, fmt.Errorf("run folder %q: %q is not an architecture", dir, l.Architecture)
	case !packagePattern.MatchString(fields[2]):
		return Location{}, fmt.Errorf("run folder %q: %q is not a package's prefix", dir, fields[2])
	case !packagePattern.MatchString(l.Package):
		return Location{}, fmt.Errorf("run folder %q: %q is not a package", dir, l.Package)
	}
	if _, err := l.RunID.Time(); err != nil {
		return Location{}, fmt.Errorf("run folder %q: %w", dir, err)
	}
	return l, nil
}

// Prefix is the folder that a source package lies in, as in the Debian archive: its first letter, or its first four
// when it begins with lib.
func Prefix(pkg string) string {
	length := 1
	if strings.HasPrefix(pkg, "lib") {
		length = 4
	}
	return pkg[:min(length, len(pkg))]
}

// PackagePrefix is the folder of all runs of a package, with the slash at its end, ready for a listing with the delimiter
// "@", which gives one entry per run.
func PackagePrefix(release, arch, pkg string) string {
	return release + "/" + arch + "/" + Prefix(pkg) + "/" + pkg + "/"
}

// Container names the container of a run's result. The last PPA counts, without its password and fingerprint.
func Container(release string, ppas []string, private bool) string {
	name := "autopkgtest-" + release
	if len(ppas) > 0 {
		ppa := ppas[len(ppas)-1]
		if at := strings.LastIndex(ppa, "@"); at >= 0 {
			ppa = ppa[at+1:]
		}
		ppa, _, _ = strings.Cut(ppa, ":")
		name += "-" + strings.ReplaceAll(ppa, "/", "-")
	}
	if private {
		name = "private-" + name
	}
	return name
}
