package nova

import (
	"context"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// The tags of a server. ownTag is on everything that this project makes in a cloud, kindTag on testbeds alone; nobody but the janitor
// of this package removes what has both. The others say whose it is.
const (
	ownTag  = openstack.OwnTag
	kindTag = "autopkgtest-testbed"

	workerPrefix  = "worker:"
	runPrefix     = "run:"
	testbedPrefix = "testbed:"

	longestTag = 60 // Nova's limit
)

// nameTag is of one testbed, which has one server.
func nameTag(name string) string { return tag(testbedPrefix, name) }

// tag is what Nova takes: neither comma nor slash, not too long.
func tag(prefix, value string) string {
	text := prefix + strings.NewReplacer(",", "-", "/", "-").Replace(value)
	return text[:min(len(text), longestTag)]
}

// tagsOf are those of a testbed's server.
func tagsOf(t testbed.Testbed) []string {
	tags := []string{ownTag, kindTag, nameTag(t.Name)}
	if t.Worker != "" {
		tags = append(tags, tag(workerPrefix, t.Worker))
	}
	if t.Run != "" {
		tags = append(tags, tag(runPrefix, t.Run))
	}
	return tags
}

// owned is something of a testbed's in a cloud: its server, or its floating IP.
type owned struct {
	id, label string
	remove    func(context.Context) error
	name      string // of the testbed
	testbed.Owner
}

// ownedBy reads whose something is from its tags. ours is false for what is of no testbed of this project, or does not say whose it is.
func ownedBy(tags []string) (o owned, ours bool) {
	marks := 0
	for _, text := range tags {
		if value, is := strings.CutPrefix(text, workerPrefix); is {
			o.Worker = value
		} else if value, is := strings.CutPrefix(text, runPrefix); is {
			o.Run = value
		} else if value, is := strings.CutPrefix(text, testbedPrefix); is {
			o.name = value
		} else if text == ownTag || text == kindTag {
			marks++
		}
	}
	return o, marks == 2 && o.Worker != "" && o.name != ""
}

// mark is the description of a floating IP, which can be given with the request that makes it, unlike its tags.
func mark(tags []string) string { return strings.Join(tags, " ") }

// longestName leaves room for what Nova adds; a host name has at most 63 signs.
const longestName = 63

// serverName is one that people read: release, architecture, package and run.
func serverName(t testbed.Testbed) string {
	last := t.Run
	if last == "" {
		last = strings.TrimPrefix(t.Name, testbed.NamePrefix)
	}
	head := strings.Join([]string{"adt", t.Release, t.Architecture, t.Package}, "-")
	head = strings.Map(func(r rune) rune { // what a host name may have
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, head)
	last = strings.ToLower(last)
	head = head[:min(len(head), max(longestName-1-len(last), 0))]
	return strings.TrimRight(head, "-") + "-" + last
}
