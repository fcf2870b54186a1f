package request

import (
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		request Request
		reason  string // empty: it is good
	}{
		"plain":                {Request{Package: "green", Triggers: []string{"green/1:2.0~rc1-1+b2"}}, ""},
		"reference":            {Request{Package: "green", Triggers: []string{Reference}}, ""},
		"no trigger":           {Request{Package: "green"}, ""},
		"private":              {Request{Package: "green", PPAs: []string{"a:b@c/d:AB"}, SwiftUser: "reader", ReadableBy: []string{"joe"}}, ""},
		"environment":          {Request{Package: "green", Env: []string{"A=", "_B=c=d"}}, ""},
		"bad package":          {Request{Package: "gr een"}, "not a source package's name"},
		"trigger, no version":  {Request{Package: "green", Triggers: []string{"green"}}, "want SOURCE/VERSION"},
		"trigger, two slashes": {Request{Package: "green", Triggers: []string{"green/1/2"}}, "want SOURCE/VERSION"},
		"trigger, empty":       {Request{Package: "green", Triggers: []string{"/1"}}, "want SOURCE/VERSION"},
		"environment, no name": {Request{Package: "green", Env: []string{"=x"}}, "want NAME=VALUE"},
		"environment, a word":  {Request{Package: "green", Env: []string{"x"}}, "want NAME=VALUE"},
		"two gits":             {Request{Package: "green", TestGit: "https://x/y", BuildGit: "https://x/y"}, "exclude each other"},
		"readers of nothing":   {Request{Package: "green", ReadableBy: []string{"joe"}}, "needs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := test.request.Validate()
			if (err == nil) != (test.reason == "") || (err != nil && !strings.Contains(err.Error(), test.reason)) {
				t.Errorf("error %v, want %q", err, test.reason)
			}
		})
	}
}

func TestContext(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		request Request
		bulk    bool
		want    Context
	}{
		"normal":                {Request{}, false, Normal},
		"bulk":                  {Request{}, true, Huge},
		"PPA":                   {Request{PPAs: []string{"a/b"}}, false, PPA},
		"PPA in bulk":           {Request{PPAs: []string{"a/b"}}, true, PPA},
		"tests from git":        {Request{TestGit: "https://x/y"}, true, Upstream},
		"build from git, a PPA": {Request{BuildGit: "https://x/y", PPAs: []string{"a/b"}}, true, Upstream},
	} {
		if got := test.request.Context(test.bulk); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
