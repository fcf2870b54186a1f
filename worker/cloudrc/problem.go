package cloudrc

import (
	"errors"
	"fmt"
)

// Categories of problems, for errors.Is.
var (
	// ErrInvalid says that a source is malformed, or needs to be run to be understood, or lacks something.
	ErrInvalid = errors.New("not usable")
	// ErrNoSecret says that a source is fine but holds no password, or asks for it.
	ErrNoSecret = errors.New("no password")
	// ErrUnknown says that there is no cloud, or no region, of a name.
	ErrUnknown = errors.New("unknown")
)

// Problem is every error of this package about a source: where, why, and what to do. It never shows the value of a variable.
type Problem struct {
	// Source is what the caller named, a file or the environment.
	Source string
	// Line counts from 1; 0 where it is about the source as a whole.
	Line int
	// Cause and WayOut are parts of a sentence.
	Cause, WayOut string

	kind error
}

// Error is "SOURCE:LINE: CAUSE: WAYOUT".
func (p *Problem) Error() string {
	return p.Where() + ": " + p.Cause + ": " + p.WayOut
}

// Where is "SOURCE:LINE", or the source alone.
func (p *Problem) Where() string {
	if p.Line == 0 {
		return p.Source
	}
	return fmt.Sprintf("%s:%d", p.Source, p.Line)
}

// Unwrap returns the category.
func (p *Problem) Unwrap() error { return p.kind }
