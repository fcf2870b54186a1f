package request

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	// A name that began with a dash would be an option of autopkgtest, one that began with a dot a folder.
	packagePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.+-]{0,199}$`)
	ppaPattern     = regexp.MustCompile(`^(?:([^\s/@:]+:[^\s/@]+)@)?` + // USER:TOKEN@
		`[a-zA-Z0-9][a-zA-Z0-9.+_-]*/[a-zA-Z0-9][a-zA-Z0-9.+_-]*` + // OWNER/NAME
		`(?::[0-9a-fA-F]+)?$`) // :FINGERPRINT
	gitPattern       = regexp.MustCompile(`^(?:https?|git)://[^\s/#-][^\s#]*(?:#[^\s]+)?$`)
	swiftUserPattern = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._+@-]*$`)
	triggerPattern   = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.+-]*/[a-zA-Z0-9.+:~-]+$`)
	envPattern       = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*=`)
)

// check refuses what no worker can run, or may run: the part of Validate that also holds for other clients' requests.
func (r Request) check() error {
	if r.Package == "" {
		return malformed("no package")
	}
	if !packagePattern.MatchString(r.Package) {
		return malformed("%s is not a source package's name", quote(r.Package))
	}
	for _, ppa := range r.PPAs {
		match := ppaPattern.FindStringSubmatch(ppa)
		if match == nil {
			// Not quoted: it may hold a password.
			return malformed("a PPA is not of the form [USER:TOKEN@]OWNER/NAME[:FINGERPRINT]")
		}
		if match[1] != "" && r.SwiftUser == "" {
			return malformed("a PPA has a password but %q is missing: the result of a private archive would be public", keySwiftUser)
		}
	}
	for _, git := range []struct{ key, url string }{{keyTestGit, r.TestGit}, {keyBuildGit, r.BuildGit}} {
		if git.url != "" && !gitPattern.MatchString(git.url) {
			// Anything else would be read as an option, or as a folder of the worker's machine. Not quoted: it may
			// hold a password.
			return malformed("%q is not an http, https or git URL, with #BRANCH or without", git.key)
		}
	}
	if r.SwiftUser != "" && !swiftUserPattern.MatchString(r.SwiftUser) {
		return malformed("%q is %s, want a user's name", keySwiftUser, quote(r.SwiftUser))
	}
	return r.checkText()
}

// maxArgument bounds what becomes one argument of a process: Linux takes 128 KiB, its name and its end included. A request
// beyond it would fail to start on every worker, again and again.
const maxArgument = 128<<10 - 64

// checkText refuses text that could not be an argument of a command or a line of a file.
func (r Request) checkText() error {
	for _, field := range []struct {
		key    string
		values []string
	}{
		{keyTestName, []string{r.TestName}}, {keyRequester, []string{r.Requester}},
		{keySubmitTime, []string{r.SubmitTime}}, {KeyID, []string{r.ID}},
		{keyTestGit, []string{r.TestGit}}, {keyBuildGit, []string{r.BuildGit}},
		{keyReadableBy, r.ReadableBy}, {keyTriggers, r.Triggers},
	} {
		for _, value := range field.values {
			if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
				return malformed("%q has control characters: %s", field.key, quote(value))
			}
			if len(value) > maxArgument {
				return malformed("%q has %d bytes, at most %d can be passed to a test", field.key, len(value), maxArgument)
			}
		}
	}
	length := 0
	for _, trigger := range r.Triggers {
		if len(strings.Fields(trigger)) != 1 {
			return malformed("trigger %s is not one word", quote(trigger))
		}
		length += len(trigger) + 1
	}
	if length > maxArgument {
		return malformed("the triggers have %d bytes, at most %d can be passed to a test", length, maxArgument)
	}
	for _, entry := range r.Env {
		if !utf8.ValidString(entry) || strings.Contains(entry, "\x00") || len(entry) > maxArgument {
			return malformed("%q has an entry that no process could be given", keyEnv)
		}
	}
	return nil
}

// Validate reports the first thing that is wrong with a request which we are about to publish. It is stricter than Parse:
// a worker must live with what other clients send, while our own can say at once what is wrong.
func (r Request) Validate() error {
	if err := r.check(); err != nil {
		return err
	}
	for _, trigger := range r.Triggers {
		if !triggerPattern.MatchString(trigger) {
			return fmt.Errorf("trigger %s: want SOURCE/VERSION, for example gzip/1.12-1, or %s", quote(trigger), Reference)
		}
	}
	for _, entry := range r.Env {
		if !envPattern.MatchString(entry) {
			return fmt.Errorf("environment entry %s: want NAME=VALUE", quote(entry))
		}
	}
	if r.TestGit != "" && r.BuildGit != "" {
		return fmt.Errorf("%q and %q exclude each other: the first takes the binaries from the archive, the second builds them",
			keyTestGit, keyBuildGit)
	}
	if len(r.ReadableBy) > 0 && r.SwiftUser == "" {
		return fmt.Errorf("%q is for private results: it needs %q", keyReadableBy, keySwiftUser)
	}
	return nil
}

// quote prints outside text in a message: without control characters, and not all of a megabyte.
func quote(text string) string {
	const longest = 80
	if len(text) > longest {
		return fmt.Sprintf("%q… (%d bytes)", text[:longest], len(text))
	}
	return fmt.Sprintf("%q", text)
}
