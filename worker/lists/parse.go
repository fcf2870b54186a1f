package lists

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// List is the content of one file.
type List struct{ entries []Entry }

// Entry is one line: PACKAGE, PACKAGE/ARCHITECTURE or PACKAGE/ARCHITECTURE/RELEASE, each part a glob.
type Entry struct {
	Text    string
	Line    int
	Comment string // the comment right above it, where people write the reason

	pattern pattern
}

// maxList is far above any real list.
const maxList = 4 << 20

// all is the part of an entry that is left out.
const all = "all"

// Characters that no package, architecture or release has make an entry that can never match: a mistake.
var partPattern = regexp.MustCompile(`^[a-zA-Z0-9.+_*?!\[\]-]+$`)

// Parse reads a list: an entry a line, blanks around it trimmed, lines that begin with # being comments. One line that is
// wrong makes the whole list wrong: a list of which half is in force would be worse than the old one.
func Parse(content []byte) (List, error) {
	if len(content) > maxList {
		return List{}, fmt.Errorf("%d bytes, at most %d are read", len(content), maxList)
	}
	var list List
	var comment []string
	number := 0
	for line := range bytes.Lines(content) {
		number++
		text := strings.TrimSpace(string(line))
		switch {
		case text == "":
			comment = nil
			continue
		case text[0] == '#':
			comment = append(comment, strings.TrimSpace(strings.TrimLeft(text, "#")))
			continue
		}
		compiled, err := parseEntry(text)
		if err != nil {
			return List{}, fmt.Errorf("line %d: %w", number, err)
		}
		list.entries = append(list.entries, Entry{
			Text: text, Line: number, Comment: sentence(comment), pattern: compiled,
		})
	}
	return list, nil
}

// longestComment is what a log needs of it.
const longestComment = 500

// sentence makes one line of a comment, without what a terminal would obey.
func sentence(lines []string) string {
	text := strings.ToValidUTF8(strings.Join(lines, " "), "")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, text)
	if len(text) > longestComment {
		text = strings.ToValidUTF8(text[:longestComment], "") + "…"
	}
	return strings.TrimSpace(strings.TrimRight(text, ". "))
}

func parseEntry(text string) (pattern, error) {
	if len(text) > 1000 {
		return nil, fmt.Errorf("an entry of %d bytes", len(text))
	}
	parts := strings.Split(text, "/")
	if len(parts) > 3 {
		return nil, fmt.Errorf("%q has %d parts, want PACKAGE, PACKAGE/ARCHITECTURE or PACKAGE/ARCHITECTURE/RELEASE", text, len(parts))
	}
	for len(parts) < 3 {
		parts = append(parts, all)
	}
	var compiled pattern
	for i, part := range parts {
		if !partPattern.MatchString(part) {
			return nil, fmt.Errorf("%q: %q is not a name or a glob; comments have lines of their own", text, part)
		}
		one, err := compile(part)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		if i > 0 {
			compiled = append(compiled, literal('/'))
		}
		compiled = append(compiled, one...)
	}
	return compiled, nil
}

// Find returns the first entry that stands for the target.
func (l List) Find(t Target) (Entry, bool) {
	// A part that an entry leaves out is the word all, so that is tried for each part of the target.
	names := [...]string{
		t.Package + "/" + t.Architecture + "/" + t.Release, t.Package + "/" + all + "/" + t.Release,
		t.Package + "/" + t.Architecture + "/" + all, t.Package + "/" + all + "/" + all,
	}
	for _, entry := range l.entries {
		for _, name := range names {
			if entry.pattern.match(name) {
				return entry, true
			}
		}
	}
	return Entry{}, false
}
