package request

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrMalformed is wrapped by every error of Parse. Such a request can never be run: it is to be dropped, because giving
// it back to the broker would bring it again for ever.
var ErrMalformed = errors.New("malformed request")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

// Parse reads the body of a request message: the package, a newline, a JSON object of parameters. A body without a
// newline is the package alone, the form of 2015.
//
// It is as tolerant as the upstream worker, because a request that is dropped leaves its sender waiting for ever:
// parameters that it does not know are kept in Extra, and a trigger or an environment entry of an odd form is left to the
// run. It refuses, with ErrMalformed and a reason, what cannot be run at all or would be dangerous to run: a body that is
// too large, not UTF-8 or not JSON, a parameter of the wrong type, and everything that check refuses.
func Parse(body []byte) (Request, error) {
	if len(body) > MaxBody {
		return Request{}, malformed("%d bytes, at most %d are accepted", len(body), MaxBody)
	}
	if !utf8.Valid(body) {
		return Request{}, malformed("not UTF-8")
	}
	name, object, hasParameters := bytes.Cut(body, []byte("\n"))
	r := Request{Package: string(name)}
	if hasParameters {
		var parameters map[string]json.RawMessage
		if err := json.Unmarshal(object, &parameters); err != nil {
			return Request{}, malformed("the parameters are not a JSON object: %v", err)
		}
		if parameters == nil {
			return Request{}, malformed("the parameters are null, want a JSON object")
		}
		if err := r.setParameters(parameters); err != nil {
			return Request{}, err
		}
	}
	if err := r.check(); err != nil {
		return Request{}, err
	}
	return r, nil
}

// The parameters' names on the wire.
const (
	keyTriggers    = "triggers"
	keyPPAs        = "ppas"
	keyAllProposed = "all-proposed"
	keyEnv         = "env"
	keyTestName    = "testname"
	keyTestGit     = "test-git"
	keyBuildGit    = "build-git"
	keySwiftUser   = "swiftuser"
	keyReadableBy  = "readable-by"
	keyRequester   = "requester"
	keySubmitTime  = "submit-time"
)

// known lists the parameters that have a field.
var known = map[string]bool{
	keyTriggers: true, keyPPAs: true, keyAllProposed: true, keyEnv: true, keyTestName: true, keyTestGit: true,
	keyBuildGit: true, keySwiftUser: true, keyReadableBy: true, keyRequester: true, keySubmitTime: true, KeyID: true,
}

type textField struct {
	key   string
	value *string
}

// texts are the fields whose parameter is a string.
func (r *Request) texts() []textField {
	return []textField{
		{keyTestName, &r.TestName}, {keyTestGit, &r.TestGit}, {keyBuildGit, &r.BuildGit},
		{keySwiftUser, &r.SwiftUser}, {keyRequester, &r.Requester}, {keySubmitTime, &r.SubmitTime}, {KeyID, &r.ID},
	}
}

type listField struct {
	key    string
	values *[]string
}

// lists are the fields whose parameter is a list.
func (r *Request) lists() []listField {
	return []listField{
		{keyTriggers, &r.Triggers}, {keyPPAs, &r.PPAs}, {keyEnv, &r.Env}, {keyReadableBy, &r.ReadableBy},
	}
}

func (r *Request) setParameters(parameters map[string]json.RawMessage) error {
	_, r.AllProposed = parameters[keyAllProposed]
	for _, field := range r.texts() {
		if err := setString(parameters, field.key, field.value); err != nil {
			return err
		}
	}
	for _, field := range r.lists() {
		if field.key == keyReadableBy {
			continue // a list or a string
		}
		if err := setList(parameters, field.key, field.values); err != nil {
			return err
		}
	}
	// Debian's gatekeeper puts all triggers into one string of the list; they are passed on space-joined anyway.
	r.Triggers = splitWords(r.Triggers)

	if raw := parameters[keyReadableBy]; bytes.HasPrefix(raw, []byte(`"`)) {
		var one string
		if err := setString(parameters, keyReadableBy, &one); err != nil {
			return err
		}
		if one != "" {
			r.ReadableBy = []string{one}
		}
	} else if err := setList(parameters, keyReadableBy, &r.ReadableBy); err != nil {
		return err
	}
	for key, value := range parameters {
		if known[key] {
			continue
		}
		if r.Extra == nil {
			r.Extra = map[string]json.RawMessage{}
		}
		r.Extra[key] = value
	}
	return nil
}

// setString and setList take null for absent, as clients written in Python send it.
func setString(parameters map[string]json.RawMessage, key string, field *string) error {
	raw, ok := parameters[key]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, field); err != nil {
		return malformed("%q is not a string", key)
	}
	return nil
}

func setList(parameters map[string]json.RawMessage, key string, field *[]string) error {
	raw, ok := parameters[key]
	if !ok {
		return nil
	}
	var entries []*string
	if err := json.Unmarshal(raw, &entries); err != nil {
		return malformed("%q is not a list of strings", key)
	}
	for _, entry := range entries {
		if entry == nil {
			return malformed("%q has an entry that is null, want a list of strings", key)
		}
		*field = append(*field, *entry)
	}
	return nil
}

func splitWords(entries []string) []string {
	var words []string
	for _, entry := range entries {
		words = append(words, strings.Fields(entry)...)
	}
	return words
}
