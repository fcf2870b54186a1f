package cloudrc

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// ParseRC reads an RC file of the given name without running it. environment holds what the session that would source the file has;
// nil is a session of its own, in which only the variables are unknown that every session sets ($HOME).
//
// What the file asks for at the terminal is missing from the Cloud afterwards, see Cloud.Complete; so is a password that the file
// does not have. Anything else that is needed and missing, or that only a shell could tell, is a Problem with the file's line.
func ParseRC(name string, content []byte, environment map[string]string) (Cloud, error) {
	s := &shell{source: name, environment: environment, variables: map[string]variable{}}
	if err := s.run(content); err != nil {
		return Cloud{}, err
	}
	return s.settings().cloud()
}

// run goes through the file.
func (s *shell) run(content []byte) error {
	if err := checkText(s.source, content, MaxRC); err != nil {
		return err
	}
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(bytes.NewReader(content), "")
	if err != nil {
		return s.syntaxProblem(err)
	}
	_, err = s.statements(file.Stmts)
	return err
}

// checkText refuses what no file of settings is, and what a shell and an editor see differently.
func checkText(source string, content []byte, most int) error {
	problem := func(offset int, cause, wayOut string) error {
		line := 1 + bytes.Count(content[:offset], []byte("\n"))
		return &Problem{Source: source, Line: line, Cause: cause, WayOut: wayOut, kind: ErrInvalid}
	}
	if len(content) > most {
		return &Problem{
			Source: source, Cause: fmt.Sprintf("it is larger than %d bytes", most), WayOut: "is it the right file?", kind: ErrInvalid,
		}
	}
	if i := bytes.IndexByte(content, 0); i >= 0 {
		return problem(i, "it holds a zero byte", "is it the right file? Settings are text")
	}
	if i := bytes.IndexByte(content, '\r'); i >= 0 {
		return problem(i, "the line ends as on Windows, and the values of a shell would end in a character that nobody sees",
			"convert the file, for example with dos2unix")
	}
	return nil
}

// quotedText is what parsers quote from a file in their messages.
var quotedText = regexp.MustCompile("`[^`]*`|\"[^\"]*\"|'[^']*'")

// shellWords may be quoted: they are the shell's, and no part of any password.
var shellWords = []string{
	"if", "then", "elif", "else", "fi", "for", "in", "do", "done", "case", "esac", "while", "until", "function", "EOF",
}

// maskWords takes out of a parser's message what might be a part of a password.
func maskWords(text string) string {
	return quotedText.ReplaceAllStringFunc(text, func(quoted string) string {
		word := quoted[1 : len(quoted)-1]
		if slices.Contains(shellWords, word) || len(word) <= 2 && !strings.ContainsFunc(word, isLetter) {
			return quoted
		}
		return "a word"
	})
}

// syntaxProblem says what the parser says, without what might be a password.
func (s *shell) syntaxProblem(err error) error {
	var (
		line   uint
		cause  = "it is no text of a shell"
		parsed syntax.ParseError
		lang   syntax.LangError
	)
	switch {
	case errors.As(err, &parsed):
		line, cause = parsed.Pos.Line(), maskWords(parsed.Text)
	case errors.As(err, &lang):
		line, cause = lang.Pos.Line(), lang.Feature+" are none of bash"
	}
	return &Problem{
		Source: s.source, Line: int(line), Cause: "not the syntax of a shell: " + cause, kind: ErrInvalid, //nolint:gosec // below MaxRC
		WayOut: "is a quote open, or a special character outside of quotes? Write values in single quotes",
	}
}

func isLetter(r rune) bool {
	return r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r > 127
}

// settings are the file's variables of OpenStack. Whether a variable is exported does not count: what reads such files by other means
// than a shell takes both, and nobody writes one that is not meant.
func (s *shell) settings() *settings {
	found := &settings{
		source: s.source, label: s.source, name: inVariables, write: writeVariable, values: map[string]setting{},
	}
	for name, v := range s.variables {
		if key, ours := strings.CutPrefix(name, variablePrefix); ours && v.set {
			found.values[strings.ToLower(key)] = setting{text: v.text, source: s.source, line: v.line, why: v.why, typed: v.typed}
		}
	}
	if entry := found.values["cloud"]; entry.text != "" || entry.why != nil {
		found.fail(entry, ErrInvalid, "OS_CLOUD refers to an entry of clouds.yaml",
			"name that entry where this file was named, or take the line out")
	}
	return found
}
