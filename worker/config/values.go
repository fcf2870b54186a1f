package config

import (
	"net"
	"net/url"
	"path/filepath"
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
	if err != nil || !s.HasKey(key) || d.bare[section+"/"+key] { // package ini reads "true" for a bare key
		return ""
	}
	return s.Key(key).Value()
}

// present says whether the key is there, with a value or without.
func (d *document) present(section, key string) bool {
	_, ok := d.lines[section+"/"+key]
	return ok
}

// text is a value that must be there, unless somebody else will say it.
func (d *document) text(section, key string) string {
	value := d.value(section, key)
	if value == "" && !d.excused[section+"/"+key] {
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

// fields is a list of any words that may be missing.
func (d *document) fields(section, key string) []string {
	return append([]string(nil), strings.Fields(d.value(section, key))...)
}

func (d *document) numberOr(section, key string, least, otherwise int) int {
	text := d.value(section, key)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > maxNumber {
		d.fail(section, key, "%q is not a number of at least %d", text, least)
	}
	return n
}

// maxNumber keeps sums of numbers from a file away from overflow.
const maxNumber = 1 << 30

// boolean takes upstream's words for yes, and the opposites.
func (d *document) boolean(section, key string) bool {
	switch text := d.value(section, key); text {
	case "1", "true", "yes":
		return true
	case "", "0", "false", "no":
	default:
		d.fail(section, key, "%q is neither true nor false", text)
	}
	return false
}

// folderOr is an absolute path: a relative one would mean another folder to each program that reads the file.
func (d *document) folderOr(section, key, otherwise string) string {
	text := d.value(section, key)
	if text == "" {
		return otherwise
	}
	if !filepath.IsAbs(text) {
		d.fail(section, key, "%q is not an absolute path", text)
	}
	return text
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

// has says whether the key is there with a value.
func (d *document) has(section, key string) bool { return d.value(section, key) != "" }
