package lists

import (
	"fmt"
	"slices"
)

// The versions that readers of results know for a test that was not run. The gatekeeper's hints match the first word.
const (
	VersionNever   = "blacklisted"
	VersionUnknown = "unknown"
)

// Refuse says whether a target is not to be run, with the reason for the log that people read, and the version that stands
// for it in the result.
func (l *Lists) Refuse(t Target) (reason, version string, refuse bool) {
	if entry, found := l.Find(Never, t); found {
		reason := fmt.Sprintf("The tests of %s are not run on %s %s: the list %s of this test cloud has the entry %s.",
			t.Package, t.Release, t.Architecture, Never, entry.Text)
		if entry.Comment != "" {
			reason += " Its comment says: " + entry.Comment + "."
		}
		return reason + " Ask the operators of the test cloud to remove it when the package's tests can be run.", VersionNever, true
	}
	if !Possible(t.Release, t.Architecture) {
		return fmt.Sprintf("No tests can be run on %s %s: the release has no testbeds of this architecture. Ask the operators of "+
			"the test cloud if you expected them.", t.Release, t.Architecture), VersionUnknown, true
	}
	return "", "", false
}

// architectures are all that there are testbeds for.
var architectures = []string{"amd64", "amd64v3", "arm64", "armhf", "i386", "ppc64el", "riscv64", "s390x"}

func allBut(excluded ...string) []string {
	return slices.DeleteFunc(slices.Clone(architectures), func(arch string) bool { return slices.Contains(excluded, arch) })
}

// pairs lists, for the releases of which some architectures cannot be tested, those that can. A release that is not here
// is tested on every architecture that somebody has made an image for.
var pairs = map[string][]string{
	"trusty":   {"amd64"},
	"xenial":   {"amd64", "s390x"},
	"bionic":   {"amd64", "arm64", "ppc64el", "s390x"},
	"focal":    allBut("amd64v3", "riscv64"),
	"jammy":    allBut("amd64v3"),
	"kinetic":  allBut("amd64v3"),
	"lunar":    allBut("amd64v3"),
	"mantic":   allBut("amd64v3"),
	"noble":    allBut("amd64v3"),
	"oracular": allBut("amd64v3"),
	"plucky":   allBut("amd64v3"),
	"questing": allBut("amd64v3"),
}

// Possible says whether tests can run on a release's architecture at all.
func Possible(release, architecture string) bool {
	possible, listed := pairs[release]
	return !listed || slices.Contains(possible, architecture)
}
