package cloudrc

import (
	"slices"
	"strings"
)

// How large a source may be, in bytes: far above any that people write. The parser of shells needs some 5 KiB of stack for each
// parenthesis in another, and a stack that overflows ends the process.
const (
	MaxRC     = 32 << 10
	MaxClouds = 256 << 10
)

// setting is a value of a source, by its key as clouds.yaml calls it: the variable's name without OS_, in small letters.
type setting struct {
	text   string
	source string // the file that has it
	line   int
	why    *Problem // why the value cannot be known
	typed  bool     // people type it when they are asked
}

// settings are all of a source, whichever its form is.
type settings struct {
	source string // the main file
	line   int    // of the entry; 0 for the file as a whole
	label  string // source and entry
	// name says how the source calls a key, and write how one would write it there.
	name, write func(key string) string
	values      map[string]setting
	err         *Problem // the first one
}

// authKeys are those that stand below auth in clouds.yaml.
var authKeys = []string{
	"auth_url", "username", "user_id", "password", "token", "user_domain_id", "user_domain_name", "project_id", "project_name",
	"project_domain_id", "project_domain_name", "domain_id", "domain_name", "application_credential_id",
	"application_credential_name", "application_credential_secret",
}

// inCloudsYAML and inVariables are the two vocabularies.
func inCloudsYAML(key string) string {
	if slices.Contains(authKeys, key) {
		return "auth." + key
	}
	return key
}

func writeCloudsYAML(key string) string { return inCloudsYAML(key) + ": ..." }

func inVariables(key string) string { return variablePrefix + strings.ToUpper(key) }

func writeVariable(key string) string { return "export " + inVariables(key) + "=..." }

const variablePrefix = "OS_"

func (s *settings) fail(at setting, kind error, cause, wayOut string) {
	if s.err != nil {
		return
	}
	if at.source == "" {
		at.source, at.line = s.source, s.line
	}
	s.err = &Problem{Source: at.source, Line: at.line, Cause: cause, WayOut: wayOut, kind: kind}
}

// take returns the first of some keys that has a value. A value that cannot be known is the source's error.
func (s *settings) take(keys ...string) setting {
	for _, key := range keys {
		v, there := s.values[key]
		if !there || v.text == "" && v.why == nil && !v.typed {
			continue
		}
		if v.why != nil {
			if s.err == nil {
				unknown := *v.why
				unknown.Source = v.source
				unknown.Cause = s.name(key) + " depends on " + unknown.Cause
				s.err = &unknown
			}
			return setting{}
		}
		if v.typed && !slices.Contains(secretKeys, key) {
			s.fail(v, ErrInvalid, s.name(key)+" is asked for at the terminal", "write it into the file, as "+s.write(key))
			return setting{}
		}
		return v
	}
	return setting{}
}

func (s *settings) text(keys ...string) string { return s.take(keys...).text }

// secretKeys are those whose values may be asked for.
var secretKeys = []string{"password", "application_credential_secret", "token", "auth_token"}
