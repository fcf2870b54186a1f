package config

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

func (s schema) sections() string {
	var names []string
	for name := range s {
		names = append(names, "["+name+"]")
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}

func (d *document) value(section, key string) string {
	s, err := d.file.GetSection(section)
	if err != nil || !s.HasKey(key) {
		return ""
	}
	return s.Key(key).Value()
}

// text is a value that must be there.
func (d *document) text(section, key string) string {
	value := d.value(section, key)
	if value == "" {
		d.fail(section, key, "missing, and it has no default")
	}
	return value
}

var wordPattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._+]*$`)

// words is a list of releases or architectures that must be there.
func (d *document) words(section, key string) []string {
	words := strings.Fields(d.text(section, key))
	for i, word := range words {
		switch {
		case strings.Contains(word, "-"):
			d.fail(section, key, "%q has a dash: queue names are split on dashes, so it must be one word", word)
		case !wordPattern.MatchString(word):
			d.fail(section, key, "%q is not a word of letters, digits, dots, underscores and plus signs", word)
		case slices.Contains(words[:i], word):
			d.fail(section, key, "%q is there twice", word)
		}
	}
	return words
}

func (d *document) number(section, key string, least int) int {
	text := d.text(section, key)
	n, err := strconv.Atoi(text)
	if text != "" && (err != nil || n < least) {
		d.fail(section, key, "%q is not a number of at least %d", text, least)
	}
	return n
}

// duration has a default; zero is not accepted, because it would mean either at once or never.
func (d *document) duration(section, key string, otherwise time.Duration) time.Duration {
	text := d.value(section, key)
	if text == "" {
		return otherwise
	}
	value, err := time.ParseDuration(text)
	if err != nil || value <= 0 {
		d.fail(section, key, "%q is not a duration, for example 90m or 8h", text)
	}
	return value
}

// address is HOST:PORT, empty if it is not required and missing.
func (d *document) address(section, key string, required bool) string {
	text := d.value(section, key)
	if text == "" {
		if required {
			return d.text(section, key)
		}
		return ""
	}
	_, port, err := net.SplitHostPort(text)
	if n, atoi := strconv.Atoi(port); err != nil || atoi != nil || n < 0 || n > 65535 {
		d.fail(section, key, "%q is not ADDRESS:PORT, for example 127.0.0.1:8080", text)
	}
	return text
}

// url is an http URL, without the slash at its end.
func (d *document) url(section, key string, required bool) string {
	text := d.value(section, key)
	if text == "" {
		if required {
			return d.text(section, key)
		}
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		d.fail(section, key, "not an http or https URL")
	}
	return strings.TrimRight(text, "/")
}
