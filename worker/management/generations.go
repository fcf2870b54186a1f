package management

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Generation is one of the broker's users that stand for a user whose credentials rotate. Generations overlap: the new one works
// before its credentials are handed out, and the old one goes on for a while.
//
// Everything that is to be known of a generation is its name in the broker and its tags, so that whoever can look at the broker
// knows it, whatever became of Terraform's state: the tag generation-of-USER tells it from a user that merely has such a name,
// expires-TIME says when it goes, idle-DURATION that it goes only when nobody has used it for so long.
type Generation struct {
	User     string        // whose it is
	Rotation string        // the word that asked for it; empty for that of a user who was never rotated
	Serial   int           // counts those that were made under the same word, from 0
	Ends     time.Time     // when it goes; zero for one that stays
	Idle     time.Duration // for how long nobody must have used it before it goes; zero: it goes at its end, used or not
}

const (
	generationTag = "generation-of-"
	expiresTag    = "expires-"
	idleTag       = "idle-"

	// serialMark stands in no name that an operator may choose, and needs no escaping in a URL.
	serialMark = "~"
)

// Name is the name of its user in the broker.
func (g Generation) Name() string {
	name := g.User
	if g.Rotation != "" {
		name += "-" + g.Rotation
	}
	if g.Serial != 0 {
		name += serialMark + strconv.Itoa(g.Serial)
	}
	return name
}

// Ending says whether it is to go.
func (g Generation) Ending() bool { return !g.Ends.IsZero() }

// Tags are those that make a user this generation, beside the tags of its role.
func (g Generation) Tags() []string {
	var tags []string
	if g.Name() != g.User {
		tags = append(tags, generationTag+g.User)
	}
	if g.Ending() {
		tags = append(tags, expiresTag+g.Ends.UTC().Format(time.RFC3339))
		if g.Idle != 0 {
			tags = append(tags, idleTag+g.Idle.String())
		}
	}
	return tags
}

// withoutGeneration are the tags of a user's role.
func withoutGeneration(tags []string) []string {
	return slices.DeleteFunc(slices.Clone(tags), func(tag string) bool {
		return strings.HasPrefix(tag, generationTag) || strings.HasPrefix(tag, expiresTag) || strings.HasPrefix(tag, idleTag)
	})
}

// tagged returns what stands behind a tag's beginning.
func tagged(tags []string, beginning string) (string, bool) {
	for _, tag := range tags {
		if rest, found := strings.CutPrefix(tag, beginning); found {
			return rest, true
		}
	}
	return "", false
}

// GenerationOf reads a user's name and tags. It is false for a user that was not made here.
func GenerationOf(u User) (Generation, bool) {
	if !u.Ours() {
		return Generation{}, false
	}
	g := Generation{User: u.Name}
	if user, found := tagged(u.Tags, generationTag); found {
		rest, ours := strings.CutPrefix(u.Name, user)
		if !ours {
			return Generation{}, false
		}
		g.User = user
		g.Rotation, g.Serial = parseRest(rest)
		if g.Name() != u.Name {
			return Generation{}, false
		}
	}
	if text, found := tagged(u.Tags, expiresTag); found {
		// What cannot be read has been tampered with; it is due rather than for ever.
		g.Ends = time.Unix(0, 0).UTC()
		if ends, err := time.Parse(time.RFC3339, text); err == nil {
			g.Ends = ends.UTC()
		}
		if text, found := tagged(u.Tags, idleTag); found {
			g.Idle, _ = time.ParseDuration(text)
		}
	}
	return g, true
}

// parseRest reads what follows the user's name in that of a generation.
func parseRest(rest string) (rotation string, serial int) {
	rotation, number, _ := strings.Cut(rest, serialMark)
	serial, _ = strconv.Atoi(number)
	return strings.TrimPrefix(rotation, "-"), serial
}

// Fate is what is to be done with a generation now.
type Fate int

// The fates.
const (
	Stays   Fate = iota
	Extends      // somebody uses it: its end is moved
	Goes
)

// At says what is to be done with a generation at a time. Used says whether somebody is connected as it; it is asked for only
// when that matters.
func (g Generation) At(now time.Time, used func() (bool, error)) (Generation, Fate, error) {
	switch {
	case !g.Ending(), g.Idle == 0 && now.Before(g.Ends):
		return g, Stays, nil
	case g.Idle == 0:
		return g, Goes, nil
	}
	// A change of the end is a write to the broker's database, so a user that is looked at every minute is not written so often.
	left := g.Ends.Sub(now)
	if left > g.Idle-g.Idle/4 {
		return g, Stays, nil
	}
	connected, err := used()
	switch {
	case err != nil:
		return g, Stays, err
	case connected:
		g.Ends = now.Add(g.Idle).Truncate(time.Second)
		return g, Extends, nil
	case left > 0:
		return g, Stays, nil
	}
	return g, Goes, nil
}

// DefaultGrace is long enough for a client that reads its credentials once a run, and short enough for a leak.
const DefaultGrace = time.Hour

// ShortestIdle is several looks of those who expire users.
const ShortestIdle = 5 * time.Minute

// Grace is how long an old generation goes on.
type Grace struct {
	For  time.Duration // zero: it goes at once
	Idle bool          // count from when somebody was last seen using it
}

// Grace is how long a user of the role works on after a rotation where nobody says otherwise. The upstream worker reads its
// credentials when it starts, and its connection holds the requests whose tests run: an end by the clock would take them away.
func (r Role) Grace() Grace { return Grace{For: DefaultGrace, Idle: r == UpstreamWorker} }

// Ended is the generation with the end that a grace gives it at a time. An end that it has already is never put off: whoever
// lost his notes, and asks again, must not prolong a leaked password's life.
func (g Generation) Ended(now time.Time, grace Grace) Generation {
	// Ends are whole seconds; rounding up gives nobody less than was promised.
	end := now.Add(grace.For + time.Second - 1).Truncate(time.Second)
	if grace.For == 0 {
		end = now.Truncate(time.Second)
	}
	if g.Ending() && !end.Before(g.Ends) {
		return g
	}
	if g.Ending() && g.Idle != 0 && grace.Idle && grace.For >= g.Idle {
		return g
	}
	g.Ends, g.Idle = end, 0
	if grace.Idle {
		g.Idle = grace.For
	}
	return g
}

// Family is all generations of one user, as the broker has them.
type Family struct {
	User    string
	Members []Member        // those that stay first, then by name
	taken   map[string]bool // the names of all users of the broker
}

// Member is a generation and its user.
type Member struct {
	Generation
	Account User
}

// NewFamily finds a user's generations among all users of a broker.
func NewFamily(user string, all []User) Family {
	f := Family{User: user, taken: map[string]bool{}}
	for _, u := range all {
		f.taken[u.Name] = true
		if g, ours := GenerationOf(u); ours && g.User == user {
			f.Members = append(f.Members, Member{g, u})
		}
	}
	slices.SortFunc(f.Members, func(a, b Member) int {
		return cmp.Or(compare(a.Ending(), b.Ending()), cmp.Compare(a.Rotation, b.Rotation), cmp.Compare(a.Serial, b.Serial))
	})
	return f
}

func compare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Member finds a generation by its name in the broker.
func (f Family) Member(name string) (Member, bool) {
	for _, m := range f.Members {
		if m.Name() == name {
			return m, true
		}
	}
	return Member{}, false
}

// Knows says whether a name can be that of a generation of this user under one of the words: it is one, or it is called like one
// and no user of that name is there, or it is the user's own name.
func (f Family) Knows(name string, rotations ...string) bool {
	if _, member := f.Member(name); member {
		return true
	}
	if name == f.User {
		return true
	}
	if f.taken[name] {
		return false
	}
	rest, ours := strings.CutPrefix(name, f.User)
	rotation, serial := parseRest(rest)
	return ours && Generation{User: f.User, Rotation: rotation, Serial: serial}.Name() == name && slices.Contains(rotations, rotation)
}

// Choose says which generation shall be handed out under a word, when the credentials file holds the one that is called held
// (empty: none that could be used). The one in the file stays as long as it was made under that word, by whomever, and is not
// to go. Without a file it is the latest one that stays: its password is lost, and it gets another one. Anything else is a
// rotation: the next one that there has never been, as far as the broker knows. One that was to go never comes back.
func (f Family) Choose(rotation, held string) Generation {
	if m, found := f.Member(held); found && !m.Ending() && m.Rotation == rotation {
		return m.Generation
	}
	if _, found := f.Member(held); held != "" && !found && f.Knows(held, rotation) {
		rest, _ := strings.CutPrefix(held, f.User)
		_, serial := parseRest(rest)
		return Generation{User: f.User, Rotation: rotation, Serial: serial} // it was deleted behind our back
	}
	if held == "" {
		for _, m := range slices.Backward(f.Members) {
			if !m.Ending() && m.Rotation == rotation {
				return m.Generation
			}
		}
	}
	return f.Next(rotation)
}

// Next is the next generation under a word that there has never been, as far as the broker knows.
func (f Family) Next(rotation string) Generation {
	g := Generation{User: f.User, Rotation: rotation}
	for _, m := range f.Members {
		if m.Rotation == rotation {
			g.Serial = max(g.Serial, m.Serial+1)
		}
	}
	return g
}

// Others are the generations but one.
func (f Family) Others(kept string) []Member {
	return slices.DeleteFunc(slices.Clone(f.Members), func(m Member) bool { return m.Name() == kept })
}

// Problem says in a sentence what is wrong with the generations, when the credentials file holds the one that is called held:
// an apply that was interrupted, or an end that nobody saw to. Used is as in Generation.At.
func (f Family) Problem(held string, now time.Time, used func(name string) (bool, error)) (string, error) {
	if m, found := f.Member(held); found && m.Ending() {
		return fmt.Sprintf("the credentials file holds %s, which goes at %s", held, m.Ends.Format(time.RFC3339)), nil
	}
	for _, m := range f.Others(held) {
		if !m.Ending() {
			return fmt.Sprintf("the old generation %s has no end", m.Name()), nil
		}
		_, fate, err := m.At(now, func() (bool, error) { return used(m.Name()) })
		if err != nil {
			return "", err
		}
		if fate == Goes {
			return fmt.Sprintf("the old generation %s was to go at %s and is still there", m.Name(), m.Ends.Format(time.RFC3339)), nil
		}
	}
	return "", nil
}
