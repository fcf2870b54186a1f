package request

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Context is the kind of work that a queue carries. The zero value is the gatekeeper's normal requests.
type Context string

// The contexts that the clients use.
const (
	Normal   Context = ""
	Huge     Context = "huge"
	PPA      Context = "ppa"
	Upstream Context = "upstream"
)

// Contexts lists every context, in the order in which tables show them.
var Contexts = []Context{Normal, Huge, PPA, Upstream}

// queuePrefix begins the name of every request queue: the Debian sibling's name, kept by all clients.
const queuePrefix = "debci"

// Queue identifies a request queue.
type Queue struct {
	Context      Context
	Release      string // one word without a dash: queue names are split on dashes
	Architecture string // Debian's name, without a dash
}

// Name returns the queue's name at the broker, debci-RELEASE-ARCH or debci-CONTEXT-RELEASE-ARCH. It is the name that
// clients publish to only when Validate accepts the queue.
func (q Queue) Name() string {
	if q.Context == Normal {
		return strings.Join([]string{queuePrefix, q.Release, q.Architecture}, "-")
	}
	return strings.Join([]string{queuePrefix, string(q.Context), q.Release, q.Architecture}, "-")
}

var (
	releasePattern      = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._+]{0,63}$`)
	architecturePattern = regexp.MustCompile(`^[a-z0-9]{1,32}$`)
)

// Validate reports why the queue cannot exist: above all a dash in a release or an architecture, with which the name
// would be read back as something else.
func (q Queue) Validate() error {
	if !slices.Contains(Contexts, q.Context) {
		return fmt.Errorf("unknown context %q: the contexts are %s, or none", q.Context, contextList())
	}
	if err := validateWord("release", q.Release, releasePattern, "letters, digits, dots, underscores, plus signs"); err != nil {
		return err
	}
	return validateWord("architecture", q.Architecture, architecturePattern, "lower-case letters and digits")
}

func validateWord(what, word string, pattern *regexp.Regexp, allowed string) error {
	switch {
	case word == "":
		return fmt.Errorf("the %s is empty", what)
	case strings.Contains(word, "-"):
		return fmt.Errorf("the %s %q has a dash: queue names are split on dashes, so it must be one word", what, word)
	case !pattern.MatchString(word):
		return fmt.Errorf("the %s %q is not one word of %s", what, word, allowed)
	}
	return nil
}

// ParseQueue reads a queue's name. Whatever it accepts, Name gives back.
func ParseQueue(name string) (Queue, error) {
	fields := strings.Split(name, "-")
	if fields[0] != queuePrefix {
		return Queue{}, fmt.Errorf("queue %q: not a request queue: their names begin with %s-", name, queuePrefix)
	}
	var q Queue
	switch len(fields) {
	case 3:
		q = Queue{Release: fields[1], Architecture: fields[2]}
	case 4:
		q = Queue{Context: Context(fields[1]), Release: fields[2], Architecture: fields[3]}
		if q.Context == Normal || !slices.Contains(Contexts, q.Context) {
			return Queue{}, fmt.Errorf("queue %q: %q is not a context (%s); if it belongs to the release, the release has "+
				"a dash: names are split on dashes, so a release is one word", name, fields[1], contextList())
		}
	default:
		return Queue{}, fmt.Errorf("queue %q: %d fields between dashes, want %s-RELEASE-ARCH or %s-CONTEXT-RELEASE-ARCH; "+
			"neither a release nor an architecture may have a dash", name, len(fields), queuePrefix, queuePrefix)
	}
	if err := q.Validate(); err != nil {
		return Queue{}, fmt.Errorf("queue %q: %w", name, err)
	}
	return q, nil
}

func contextList() string {
	var words []string
	for _, c := range Contexts {
		if c != Normal {
			words = append(words, string(c))
		}
	}
	return strings.Join(words, ", ")
}
