package forward

import (
	"errors"
	"io/fs"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// failure is an error that has been sent: its text, and the kind on which somebody decides.
type failure struct {
	Text string
	Kind string `json:",omitempty"`
}

// kinds are those that survive the way.
var kinds = map[string]error{
	"absent":  fs.ErrNotExist,
	"exposed": config.ErrExposed,
	"invalid": config.ErrInvalid,
}

func failureOf(err error) *failure {
	f := &failure{Text: err.Error()}
	for name, kind := range kinds {
		if errors.Is(err, kind) {
			f.Kind = name
		}
	}
	return f
}

// Error implements error.
func (f *failure) Error() string { return f.Text }

// Is implements errors.Is.
func (f *failure) Is(kind error) bool { return f.Kind != "" && kinds[f.Kind] == kind }
