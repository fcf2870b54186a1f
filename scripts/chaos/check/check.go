package check

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// Kind sorts problems.
type Kind string

// The kinds of problems, the gravest first.
const (
	Lost        Kind = "lost"        // a request without a readable result
	Doubled     Kind = "doubled"     // a request with more than it was sent times
	Unreadable  Kind = "unreadable"  // a result that a reader cannot use
	Wrong       Kind = "wrong"       // a result that does not belong to its request
	Unseen      Kind = "unseen"      // a result that appeared below one that was readable already: the gatekeeper never reads it
	Order       Kind = "order"       // run ids that do not grow in the order of the store's times
	Unannounced Kind = "unannounced" // a result without a completion message
	Misleading  Kind = "misleading"  // a completion message for what is not there
	Rejection   Kind = "rejection"   // a malformed request that is gone, or a sound one that was rejected
	Queued      Kind = "queued"      // messages that are still in a queue
	Leftover    Kind = "leftover"    // what a worker has left behind
)

// Problem is one thing that is wrong.
type Problem struct {
	Kind Kind
	Text string
}

// String is a line of a report.
func (p Problem) String() string { return string(p.Kind) + ": " + p.Text }

// Check says what is wrong, in the order of the requests and then of the rest. Nothing means that all is well.
func Check(s State) []Problem {
	c := &checker{byKey: map[string][]Stored{}}
	for _, stored := range s.Stored {
		c.stored(stored)
	}
	for _, r := range s.Requests {
		c.request(r, s.Rejected)
	}
	c.strangers(s)
	c.order(s.Stored)
	c.completions(s.Stored, s.Completions)
	for _, name := range slices.Sorted(maps.Keys(s.Queues)) {
		if n := s.Queues[name]; n != 0 {
			c.say(Queued, "queue %s still has %d messages", name, n)
		}
	}
	for _, left := range s.Leftovers {
		c.say(Leftover, "%s", left)
	}
	return c.problems
}

type checker struct {
	byKey    map[string][]Stored
	problems []Problem
}

func (c *checker) say(kind Kind, format string, arguments ...any) {
	c.problems = append(c.problems, Problem{kind, fmt.Sprintf(format, arguments...)})
}

// stored files a result under its request. One that cannot be read belongs to nobody.
func (c *checker) stored(s Stored) {
	if s.Err != nil {
		c.say(Unreadable, "%s: %v", where(s.At), s.Err)
		return
	}
	c.byKey[key(s.Result)] = append(c.byKey[key(s.Result)], s)
	if !s.Seen {
		c.say(Unseen, "%s of request %s became visible below a result that was readable already", where(s.At), key(s.Result))
	}
}

// key is empty for a result without triggers.
func key(r result.Result) string {
	if len(r.Triggers) == 0 {
		return ""
	}
	return KeyOf(r.Triggers[0])
}

func where(l result.Location) string { return l.Container + "/" + l.Dir() }

func (c *checker) request(r Request, rejected []Rejected) {
	if r.Malformed {
		c.malformed(r, rejected)
		return
	}
	results := c.byKey[r.Key]
	switch {
	case len(results) < min(r.Least, 1):
		c.say(Lost, "request %s for %s has no readable result", r.Key, r.Place.Dir())
	case len(results) > r.Most:
		var places []string
		for _, s := range results {
			places = append(places, where(s.At))
		}
		c.say(Doubled, "request %s, sent %d times, has %d results: %s", r.Key, r.Most, len(results), strings.Join(places, ", "))
	}
	for _, s := range results {
		c.belongs(r, s)
	}
}

// belongs compares a result with the request that it is for.
func (c *checker) belongs(r Request, s Stored) {
	place := s.At
	place.RunID = ""
	if place != r.Place {
		c.say(Wrong, "the result of request %s lies in %s, not in %s", r.Key, where(s.At), where(r.Place))
	}
	if want := []string{Trigger(r.Key)}; !slices.Equal(s.Result.Triggers, want) {
		c.say(Wrong, "%s has the triggers %q, its request %q", where(s.At), s.Result.Triggers, want)
	}
	if len(s.Result.Request) > 0 && !bytes.Equal(s.Result.Request, r.Body) {
		c.say(Wrong, "%s was made from another request than %s: %q", where(s.At), r.Key, s.Result.Request)
	}
	if codes := r.codes(); !slices.Contains(codes, s.Result.ExitCode) {
		c.say(Wrong, "%s of request %s has exit code %d, want one of %v", where(s.At), r.Key, s.Result.ExitCode, codes)
	}
}

// attempts is after how many failures of testbeds in a row a worker publishes the last one, and exitTestbed what it is published as.
const (
	attempts    = 3
	exitTestbed = 16
)

// codes are those with which the request may end.
func (r Request) codes() []int {
	if r.Killed >= attempts {
		return append(slices.Clone(r.Codes), exitTestbed)
	}
	return r.Codes
}

// malformed wants a request among the rejected ones: at least once, because what is delivered again is rejected again.
func (c *checker) malformed(r Request, rejected []Rejected) {
	for _, m := range rejected {
		if bytes.Equal(m.Body, r.Body) {
			if m.Reason == "" {
				c.say(Rejection, "malformed request %s was rejected without a reason", r.Key)
			}
			return
		}
	}
	if r.Least > 0 {
		c.say(Rejection, "malformed request %s is gone: it is not among the rejected ones", r.Key)
	}
}

// strangers are results and rejected messages of which nobody has made a request.
func (c *checker) strangers(s State) {
	known, malformed := map[string]bool{}, map[string]bool{}
	for _, r := range s.Requests {
		if r.Malformed {
			malformed[string(r.Body)] = true
		} else {
			known[r.Key] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.byKey)) {
		for _, stored := range c.byKey[name] {
			if !known[name] {
				c.say(Wrong, "%s belongs to no request: its triggers are %q", where(stored.At), stored.Result.Triggers)
			}
		}
	}
	for _, m := range s.Rejected {
		if !malformed[string(m.Body)] {
			c.say(Rejection, "a sound request was rejected (%s): %q", m.Reason, m.Body)
		}
	}
}

// order wants the store's times to grow with the run ids of a package. The store's times are those at which an upload
// began, so this is what can be told afterwards; what a reader really missed is Unseen.
func (c *checker) order(all []Stored) {
	sorted := slices.SortedFunc(slices.Values(all), func(a, b Stored) int { return cmp.Compare(where(a.At), where(b.At)) })
	for i := 1; i < len(sorted); i++ {
		before, after := sorted[i-1], sorted[i]
		samePackage := before.At
		samePackage.RunID = after.At.RunID
		if samePackage != after.At {
			continue
		}
		if after.Modified.Before(before.Modified) {
			c.say(Order, "%s was stored %s after %s, whose run id is greater", where(before.At),
				before.Modified.Sub(after.Modified), where(after.At))
		}
	}
}

// completions wants at least one message for each result, and none for what is not there.
func (c *checker) completions(all []Stored, messages []queue.Completion) {
	announced := map[result.Location]bool{}
	for _, m := range messages {
		announced[m.Location] = true
	}
	there := map[result.Location]bool{}
	for _, s := range all {
		there[s.At] = true
		if s.Err == nil && !announced[s.At] {
			c.say(Unannounced, "%s of request %s has no completion message", where(s.At), key(s.Result))
		}
	}
	told := map[result.Location]bool{}
	for _, m := range messages {
		if !there[m.Location] && !told[m.Location] {
			told[m.Location] = true
			c.say(Misleading, "a completion message tells of %s, which is not there", where(m.Location))
		}
	}
}
