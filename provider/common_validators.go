package provider

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// check is a validator of a text that is one of the rule functions which the services use themselves, so that a plan and
// a running service cannot disagree.
type check struct {
	what string
	rule func(string) error
}

var _ validator.String = check{}

// Description implements validator.Describer.
func (c check) Description(context.Context) string { return c.what }

// MarkdownDescription implements validator.Describer.
func (c check) MarkdownDescription(context.Context) string { return c.what }

// ValidateString implements validator.String.
func (c check) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if err := c.rule(req.ConfigValue.ValueString()); err != nil {
		resp.Diagnostics.AddAttributeError(req.Path, "Not "+c.what, err.Error())
	}
}

func releaseName() validator.String { return check{"a release", checkRelease} }

func architectureName() validator.String { return check{"an architecture", checkArchitecture} }

func contextWord() validator.String {
	return check{"a context", func(s string) error {
		if !slices.Contains(contextNames(), s) {
			return fmt.Errorf("unknown context %q: the contexts are %s", s, strings.Join(contextNames(), ", "))
		}
		return nil
	}}
}

func absolutePath() validator.String {
	return check{"an absolute path", checkAbsolute}
}

func checkAbsolute(s string) error {
	if !filepath.IsAbs(s) {
		return fmt.Errorf("%q is relative, and what it would be relative to differs from run to run: write it in full, "+
			"for example with abspath(%q)", s, s)
	}
	if filepath.Clean(s) != s {
		return fmt.Errorf("write %q as %q", s, filepath.Clean(s))
	}
	return nil
}

func ipAddress() validator.String {
	return check{"an IP address", func(s string) error {
		if net.ParseIP(s) == nil {
			return fmt.Errorf("%q: write an address of this machine, or 0.0.0.0 for all of them", s)
		}
		return nil
	}}
}

func webURL() validator.String {
	return check{"a web address", func(s string) error {
		u, err := url.Parse(s)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return fmt.Errorf("%q: write it as https://HOST/", s)
		}
		return nil
	}}
}

var stackPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

func stackName() validator.String {
	return check{"a stack's name", func(s string) error {
		if !stackPattern.MatchString(s) {
			return fmt.Errorf("%q: a stack is called by lower case letters, digits and dashes", s)
		}
		return nil
	}}
}

// durationAtLeast accepts what time.ParseDuration does.
func durationAtLeast(least time.Duration) validator.String {
	return check{"a duration", func(s string) error {
		d, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("%q is not a duration: write it as 90s, 30m or 48h", s)
		}
		if d < least {
			return fmt.Errorf("%s is too short: at least %s", s, least)
		}
		return nil
	}}
}

var userPattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$`)

// brokerUserName keeps to names that need no escaping in a URL: not all clients undo it.
func brokerUserName() validator.String {
	return check{"a user's name", func(s string) error {
		if s == guest {
			return fmt.Errorf("%q is the user that every broker begins with; it is removed, not used", s)
		}
		if !userPattern.MatchString(s) {
			return fmt.Errorf("%q: a user is called by letters, digits, dots, underscores and dashes", s)
		}
		return nil
	}}
}

// managementURL keeps credentials out of what is stored and shown.
func managementURL() validator.String {
	return check{"the address of a management API", func(s string) error {
		_, err := management.New(s, "", "")
		return err
	}}
}
