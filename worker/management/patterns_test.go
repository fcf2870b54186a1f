package management

import (
	"errors"
	"testing"
)

func TestCheckPattern(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pattern   string
		good      bool
		unchecked bool
	}{
		"everything":             {".*", true, false},
		"nothing":                {"", true, false},
		"names":                  {`^(debci-noble-.*|teststatus\.fanout)$`, true, false},
		"classes":                {`^[[:alpha:]\d.-]+$`, true, false},
		"lazy":                   {`^.*?-amd64$`, true, false},
		"group without an end":   {"^(debci-.*$", false, false},
		"group without a begin":  {"^debci-.*)$", false, false},
		"set without an end":     {"^[a-z$", false, false},
		"nothing to repeat":      {"*-amd64", false, false},
		"backslash at the end":   {`^debci\`, false, false},
		"set the wrong way":      {"^[z-a]$", false, false},
		"not UTF-8":              {"^\xff$", false, false},
		"look-ahead":             {`^(?!amq\.).*$`, false, true},
		"back reference":         {`^(a)\1$`, false, true},
		"possessive":             {"^a++$", false, true},
		"two thousand times":     {"^a{2000}$", false, true},
		"a class of PCRE's only": {`^\h$`, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := CheckPattern(tc.pattern)
			if good, unchecked := err == nil, errors.Is(err, ErrUnchecked); good != tc.good || unchecked != tc.unchecked {
				t.Errorf("%q: %v", tc.pattern, err)
			}
		})
	}
}

func TestAnchored(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]bool{
		"": true, "^$": true, ".*": true, "^debci-.*$": true, "^debci-.*": true, "debci-noble": false, "^debci-noble": false,
		"debci-noble$": false,
	} {
		if got := Anchored(pattern); got != want {
			t.Errorf("%q: %t", pattern, got)
		}
	}
}
