package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Request is one request of a round.
type Request struct {
	Key          string // in no other request of the round
	At           time.Duration
	Package      string
	Architecture string
	Context      string
	Outcome      Outcome
	Copies       int // how often it is sent, one right after the other

	// Malformed says what is wrong with the body; empty for a request that can be run.
	Malformed string
}

// Outcome is how the tests of a request end.
type Outcome struct {
	Kind Kind
	Took time.Duration // the stub's own time
	Size int           // bytes of an artifact that does not compress
}

// Kind is a way in which autopkgtest ends.
type Kind string

// The ways. Those that fail by the testbed's fault do so most of the time, not always: a second attempt may do better.
const (
	Pass    Kind = "pass"    // 0
	Skip    Kind = "skip"    // 2
	Fail    Kind = "fail"    // 4
	Neutral Kind = "neutral" // 8
	BadPkg  Kind = "badpkg"  // 12, nothing was run
	Tmpfail Kind = "tmpfail" // 16, with half of the usual files
	Crash   Kind = "crash"   // 1, with a traceback and a log that breaks off
	Signal  Kind = "signal"  // it kills itself
	Usage   Kind = "usage"   // 20
)

// Kinds are all of them, with how often they come up among a hundred.
var Kinds = []struct {
	Kind  Kind
	Share int
}{
	{Pass, 50}, {Skip, 5}, {Fail, 12}, {Neutral, 5}, {BadPkg, 5}, {Tmpfail, 9}, {Crash, 4}, {Signal, 7}, {Usage, 3},
}

// OfPackage says whether an end is the package's own result, and not a failure that is tried again.
func (k Kind) OfPackage() bool {
	switch k {
	case Tmpfail, Crash, Signal, Usage:
		return false
	}
	return true
}

// Codes are the exit codes with which a kind may be published.
func (k Kind) Codes() []int {
	switch k {
	case Pass:
		return []int{0}
	case Skip:
		return []int{2}
	case Fail:
		return []int{4}
	case Neutral:
		return []int{8}
	case BadPkg:
		return []int{12}
	case Usage:
		return []int{0, 16, 20} // a fault may have ended its last attempt in another way
	}
	return []int{0, 16} // after three attempts a crash is a testbed failure, too
}

// Architectures and contexts of a round's queues.
var (
	Architectures = []string{"amd64", "arm64"}
	Contexts      = []string{"", "huge", "ppa", "upstream"}
)

// packages are few, so that results of one meet each other; the first one gets more than its share.
var packages = []string{"hot", "libcold", "gzip", "dpkg", "green", "lib3ds", "zsh", "apt"}

// manyPackages are for rounds of many requests: results of one package are published one after the other.
func manyPackages(requests int) []string {
	all := slices.Clone(packages)
	for n := range requests / 20 {
		all = append(all, fmt.Sprintf("package%d", n))
	}
	return all
}

// malformations are the ways in which a body is wrong.
var malformations = []string{"json", "utf8", "package", "ppa", "type"}

// twins: of so many requests, one is sent twice with the same bytes.
const twins = 12

func requests(r *rand.Rand, o Options) []Request {
	var list []Request
	spread, from := o.Storm*4/5, manyPackages(o.Requests)
	for n := range o.Requests {
		q := Request{
			Key: fmt.Sprintf("k%05d", n), At: between(r, 0, spread), Package: choosePackage(r, from),
			Architecture: pick(r, Architectures), Context: pick(r, Contexts), Outcome: outcome(r), Copies: 1,
		}
		if r.IntN(twins) == 0 {
			q.Copies = 2
		}
		// A failure of ours is tried again for a minute and a half. What comes late must not make the round longer.
		if !q.Outcome.Kind.OfPackage() && q.At > spread/3 {
			q.Outcome.Kind = Pass
		}
		list = append(list, q)
	}
	for n := range 2 + o.Requests/50 {
		list = append(list, Request{
			Key: fmt.Sprintf("m%05d", n), At: between(r, 0, spread), Package: choosePackage(r, from),
			Architecture: pick(r, Architectures), Context: pick(r, Contexts), Copies: 1, Malformed: malformations[n%len(malformations)],
		})
	}
	sortByTime(list, func(q Request) time.Duration { return q.At })
	return list
}

func choosePackage(r *rand.Rand, from []string) string {
	if r.IntN(8) == 0 {
		return from[0]
	}
	return pick(r, from)
}

func outcome(r *rand.Rand) Outcome {
	o := Outcome{Kind: chooseKind(r), Took: between(r, 100*time.Millisecond, 1500*time.Millisecond), Size: r.IntN(20 << 10)}
	switch r.IntN(12) {
	case 0: // longer than the delivery timeout that is forced upon the broker
		o.Took = between(r, 7*time.Second, 15*time.Second)
	case 1, 2: // an upload that something can happen to
		o.Size = 1<<20 + r.IntN(3<<20)
	}
	return o
}

func chooseKind(r *rand.Rand) Kind {
	total := 0
	for _, k := range Kinds {
		total += k.Share
	}
	n := r.IntN(total)
	for _, k := range Kinds {
		if n -= k.Share; n < 0 {
			return k.Kind
		}
	}
	panic("not reached")
}
