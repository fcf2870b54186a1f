package management

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strings"
)

// ErrUnchecked is returned by CheckPattern for a pattern that may be good: the broker's library of regular expressions knows
// more than ours.
var ErrUnchecked = errors.New("only the broker can tell whether this is a pattern")

// CheckPattern says whether the broker will take a pattern of permissions. RabbitMQ compiles patterns with Erlang's PCRE when
// they are granted, and refuses the call then; we have Go's RE2. What both understand is checked. What looks as if it were
// meant for PCRE (a look-ahead, a back reference, a possessive quantifier, more than a thousand repetitions) is ErrUnchecked;
// anything else that RE2 does not take, PCRE does not take either.
func CheckPattern(pattern string) error {
	_, err := syntax.Parse(pattern, syntax.Perl)
	var wrong *syntax.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &wrong):
		return err
	}
	switch wrong.Code {
	case syntax.ErrInvalidPerlOp, syntax.ErrInvalidEscape, syntax.ErrInvalidRepeatOp, syntax.ErrInvalidRepeatSize,
		syntax.ErrInvalidNamedCapture, syntax.ErrLarge, syntax.ErrNestingDepth:
		return fmt.Errorf("%w: %s: %q", ErrUnchecked, wrong.Code, wrong.Expr)
	}
	if wrong.Expr == pattern || wrong.Code == syntax.ErrUnexpectedParen {
		return fmt.Errorf("%s in %q", wrong.Code, pattern)
	}
	return fmt.Errorf("%s: %q in %q", wrong.Code, wrong.Expr, pattern)
}

// Anchored says whether a pattern speaks of whole names. The broker looks for a pattern anywhere in a name, so that
// "debci-noble" is also about "not-debci-noble-amd64". An empty pattern is about nothing, and one that begins or ends with
// ".*" is about any beginning or end on purpose.
func Anchored(pattern string) bool {
	if pattern == "" {
		return true
	}
	begins := strings.HasPrefix(pattern, "^") || strings.HasPrefix(pattern, ".*")
	ends := strings.HasSuffix(pattern, "$") || strings.HasSuffix(pattern, ".*")
	return begins && ends
}
