package config

import (
	"errors"
	"regexp"
	"strings"
)

// SplitQuoted splits options into words as a shell does, with quotes and backslashes, but without replacing anything.
func SplitQuoted(text string) ([]string, error) {
	var (
		words  []string
		word   strings.Builder
		inWord bool
		quote  rune
		escape bool
	)
	for _, c := range text {
		switch {
		case escape:
			// Within double quotes a backslash is kept but before what it can escape there.
			if quote == '"' && c != '"' && c != '\\' {
				word.WriteByte('\\')
			}
			word.WriteRune(c)
			escape = false
		case c == '\\' && quote != '\'':
			escape, inWord = true, true
		case c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, inWord = c, true
		case quote == 0 && strings.ContainsRune(" \t\r\n", c):
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		default:
			word.WriteRune(c)
			inWord = true
		}
	}
	switch {
	case quote != 0:
		return nil, errors.New("a quote is open at the end")
	case escape:
		return nil, errors.New("a backslash stands at the end")
	case inWord:
		words = append(words, word.String())
	}
	return words, nil
}

var plainWord = regexp.MustCompile(`^[a-zA-Z0-9_@%+=:,./-]+$`)

// JoinQuoted prints words such that SplitQuoted, and a shell, gives them back.
func JoinQuoted(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		if plainWord.MatchString(word) {
			quoted[i] = word
			continue
		}
		quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}

// quoted is a list of options that may be missing.
func (d *document) quoted(section, key string) []string {
	words, err := SplitQuoted(d.value(section, key))
	if err != nil {
		d.fail(section, key, "%v", err)
	}
	return words
}
