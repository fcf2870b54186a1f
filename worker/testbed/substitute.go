package testbed

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// The variables that a worker sets itself, by their names in a configuration.
const (
	variableRelease      = "RELEASE"
	variableArchitecture = "ARCHITECTURE"
	variableSize         = "PACKAGESIZE"
	variableVMOption     = "VMOPT"  // --vm or nothing
	variableVMFlag       = "VMFLAG" // /vm or nothing
)

var ownVariables = []string{variableRelease, variableArchitecture, variableSize, variableVMOption, variableVMFlag}

var variablePattern = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// Variables are an operator's own, from the command line of the worker.
type Variables map[string]string

// ParseVariables reads KEY=VALUE entries.
func ParseVariables(entries []string) (Variables, error) {
	variables := Variables{}
	for _, entry := range entries {
		key, value, found := strings.Cut(entry, "=")
		switch {
		case !found || !variablePattern.MatchString(key):
			// Not quoted whole: the value may be a secret.
			return nil, fmt.Errorf("the variable %.20q is not of the form KEY=VALUE", key)
		case slices.Contains(ownVariables, key):
			return nil, fmt.Errorf("the variable %s is set by the worker for each test", key)
		}
		if _, twice := variables[key]; twice {
			return nil, fmt.Errorf("the variable %s is there twice", key)
		}
		variables[key] = value
	}
	return variables, nil
}

// replacement replaces variables for one run: plain text, whatever stands around it. Of two names of which one begins with
// the other, the longer one counts.
type replacement struct {
	size  string
	other *strings.Replacer
}

func (v Variables) replacement(q request.Queue, traits Traits, size string) replacement {
	values := map[string]string{
		variableRelease: q.Release, variableArchitecture: q.Architecture, variableVMOption: "", variableVMFlag: "",
	}
	if traits.Machine {
		values[variableVMOption], values[variableVMFlag] = "--vm", "/vm"
	}
	for key, value := range v {
		values[key] = value
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	pairs := make([]string, 0, 2*len(names))
	for _, name := range names {
		pairs = append(pairs, "$"+name, values[name])
	}
	return replacement{size: size, other: strings.NewReplacer(pairs...)}
}

// text replaces the variables in a text. The size is first: it may have others in it.
func (r replacement) text(s string) string {
	return r.other.Replace(strings.ReplaceAll(s, "$"+variableSize, r.size))
}

var leftVariable = regexp.MustCompile(`\$[A-Z_][A-Z0-9_]*`)

var errNoValue = errors.New("has no value")

// complete refuses text with a variable that nobody has set. It is not for setup commands, in which they may be the shell's.
func complete(where, text string) error {
	if left := leftVariable.FindString(text); left != "" {
		return fmt.Errorf("%s: %s %w: start the worker with -v %s=VALUE", where, left, errNoValue, left[1:])
	}
	return nil
}
