package nova

import (
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// The tags of a server. ownTag is on everything that this project makes in a cloud, kindTag on testbeds alone; nobody but the janitor
// of this package removes what has both. The others say whose it is.
const (
	ownTag  = "autopkgtest-cloud"
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

// owned is a server as its tags tell it.
type owned struct {
	server openstack.Server
	name   string // of the testbed
	testbed.Owner
}

// ownedBy reads the tags of a server. ours is false for one that is no testbed of this project, or does not say whose it is.
func ownedBy(server openstack.Server) (o owned, ours bool) {
	o.server = server
	marks := 0
	if server.Tags == nil {
		return o, false
	}
	for _, text := range *server.Tags {
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
