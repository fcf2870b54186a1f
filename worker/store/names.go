package store

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Limits of names, Swift's own.
const (
	maxContainer = 256
	maxObject    = 1024
)

// CheckContainer refuses the names that some backend could not keep, so that all of them refuse the same. Its errors wrap
// ErrInvalid.
func CheckContainer(name string) error {
	switch {
	case name == "" || len(name) > maxContainer:
		return fmt.Errorf("%w: container name %q has %d bytes, want 1 to %d", ErrInvalid, name, len(name), maxContainer)
	case !utf8.ValidString(name) || strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("%w: container name %q is not UTF-8 without slashes", ErrInvalid, name)
	case name[0] == '.':
		return fmt.Errorf("%w: container name %q begins with a dot", ErrInvalid, name)
	}
	return nil
}

// readerPattern has none of the signs that separate names in an access list, or that would make a rule for many of one.
var readerPattern = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._+@-]{0,254}$`)

// CheckAccess refuses readers of a container that is public anyway, and what is not a user's name. Its errors wrap ErrInvalid.
func CheckAccess(public bool, readers []string) error {
	if public && len(readers) > 0 {
		return fmt.Errorf("%w: a public container has no readers of its own, such as %q", ErrInvalid, readers[0])
	}
	for _, reader := range readers {
		if !readerPattern.MatchString(reader) {
			return fmt.Errorf("%w: reader %q is not a user's name", ErrInvalid, reader)
		}
	}
	return nil
}

// CheckObject is CheckContainer for both names of an object. Parts between slashes are neither empty nor . or .. , because
// proxies and file systems would make another name of them.
func CheckObject(container, object string) error {
	if err := CheckContainer(container); err != nil {
		return err
	}
	if object == "" || len(object) > maxObject {
		return fmt.Errorf("%w: object name %q has %d bytes, want 1 to %d", ErrInvalid, object, len(object), maxObject)
	}
	if !utf8.ValidString(object) || strings.Contains(object, "\x00") {
		return fmt.Errorf("%w: object name %q is not UTF-8", ErrInvalid, object)
	}
	for part := range strings.SplitSeq(object, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("%w: object name %q has the part %q", ErrInvalid, object, part)
		}
	}
	return nil
}

// Check refuses a query that no store answers. Its errors wrap ErrInvalid.
func (q Query) Check() error {
	if q.Delimiter != "" && utf8.RuneCountInString(q.Delimiter) != 1 {
		return fmt.Errorf("%w: delimiter %q is not one character", ErrInvalid, q.Delimiter)
	}
	if !utf8.ValidString(q.Prefix) || !utf8.ValidString(q.Delimiter) || !utf8.ValidString(q.Marker) {
		return fmt.Errorf("%w: prefix %q, delimiter %q and marker %q are not all UTF-8",
			ErrInvalid, q.Prefix, q.Delimiter, q.Marker)
	}
	if q.Limit < 0 {
		return fmt.Errorf("%w: limit %d is negative", ErrInvalid, q.Limit)
	}
	return nil
}
