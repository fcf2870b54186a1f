package testbed

import "slices"

// withoutProposed are the releases whose archive has no pocket of that name: Debian's. Its own «proposed-updates» are
// another thing.
var withoutProposed = []string{
	"jessie", "stretch", "buster", "bullseye", "bookworm", "trixie", "forky", "duke", "sid", "experimental",
	"oldoldstable", "oldstable", "stable", "testing", "unstable",
}

// usualPockets are those of a release's archive, for testbeds that do not come from an image that tells them.
func usualPockets(release string) []string {
	if slices.Contains(withoutProposed, release) {
		return nil
	}
	return []string{ProposedPocket}
}
