package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/ini.v1"
)

// ErrInvalid is wrapped by every error that says that a file's content is wrong.
var ErrInvalid = errors.New("invalid configuration")

// schema lists the keys that a file may have: section → keys.
type schema map[string][]string

// document is a file that was read strictly: known sections and keys only, each once.
type document struct {
	path  string
	file  *ini.File
	lines map[string]int  // where a "section" or "section/key" stands
	bare  map[string]bool // which "section/key" stands alone on its line: present, without a value
	// excused are those without which the file is whole: somebody else will say them.
	excused map[string]bool
	err     error // the first that was found by the getters
}

// load reads an INI file strictly.
func load(path string, known schema) (*document, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return parse(path, content, known, keysHaveValues)
}

// dialect says whether a line may be a key alone, which is the same as one with an empty value.
type dialect bool

const (
	keysHaveValues dialect = false
	keysMayBeBare  dialect = true
)

// loadLoosely reads a file of another program's, in the dialect of Python's configparser: unknown keys, colons, values
// over several lines.
func loadLoosely(path string) (*document, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	file, err := ini.LoadSources(ini.LoadOptions{
		AllowPythonMultilineValues: true,
		AllowBooleanKeys:           true,
		IgnoreInlineComment:        true,
		SkipUnrecognizableLines:    true,
		PreserveSurroundedQuote:    true,
	}, content)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, path, err)
	}
	return &document{path: path, file: file}, nil
}

// namePattern keeps sections and keys to what every reader of INI understands in the same way.
var namePattern = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

func parse(path string, content []byte, known schema, form dialect) (*document, error) {
	d := &document{path: path, lines: map[string]int{}, bare: map[string]bool{}, excused: map[string]bool{}}
	if err := d.scan(content, known, form); err != nil {
		return nil, err
	}
	file, err := ini.LoadSources(ini.LoadOptions{
		KeyValueDelimiters:      "=",
		IgnoreContinuation:      true,
		IgnoreInlineComment:     true,
		SkipUnrecognizableLines: false,
		PreserveSurroundedQuote: true,
		AllowBooleanKeys:        bool(form),
	}, content)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, path, err)
	}
	d.file = file
	return d, nil
}

// scan finds what package ini keeps to itself: the line of each key, and keys and sections that are there twice.
func (d *document) scan(content []byte, known schema, form dialect) error {
	section := ""
	number := 0
	for raw := range bytes.Lines(content) {
		number++
		text := strings.TrimSpace(string(raw))
		switch {
		case text == "" || text[0] == '#' || text[0] == ';':
			continue
		case text[0] == '[':
			name, found := strings.CutSuffix(text[1:], "]")
			if !found || !namePattern.MatchString(name) {
				return d.errorAt(number, "a section is [NAME]")
			}
			section = name
			if err := d.note(number, section, "section ["+section+"]"); err != nil {
				return err
			}
			if _, ok := known[section]; !ok {
				return d.errorAt(number, "unknown section [%s]: the sections are %s", section, known.sections())
			}
			continue
		}
		key, value, found := strings.Cut(text, "=")
		key = strings.TrimSpace(key)
		if (!found && form != keysMayBeBare) || !namePattern.MatchString(key) {
			return d.errorAt(number, "neither a section, a comment nor KEY = VALUE")
		}
		if section == "" {
			return d.errorAt(number, "%q stands before the first section", key)
		}
		if err := d.note(number, section+"/"+key, fmt.Sprintf("[%s] %s", section, key)); err != nil {
			return err
		}
		if !known.has(section, key) {
			return d.errorAt(number, "unknown key %q in [%s]: the keys are %s", key, section, strings.Join(known[section], ", "))
		}
		d.bare[section+"/"+key] = !found
		if value = strings.TrimSpace(value); strings.HasPrefix(value, `"""`) || strings.HasPrefix(value, "`") {
			return d.errorAt(number, "[%s] %s: a value is one line without quotes", section, key)
		}
	}
	return nil
}

func (d *document) note(number int, name, what string) error {
	if first, twice := d.lines[name]; twice {
		return d.errorAt(number, "%s is already in line %d", what, first)
	}
	d.lines[name] = number
	return nil
}

func (s schema) has(section, key string) bool { return slices.Contains(s[section], key) }

func (d *document) errorAt(number int, format string, args ...any) error {
	return fmt.Errorf("%w: %s:%d: %s", ErrInvalid, d.path, number, fmt.Sprintf(format, args...))
}

// fail keeps the first error about a key.
func (d *document) fail(section, key, format string, args ...any) {
	if d.err != nil {
		return
	}
	message := fmt.Sprintf("[%s] %s: ", section, key) + fmt.Sprintf(format, args...)
	if number, ok := d.lines[section+"/"+key]; ok {
		d.err = d.errorAt(number, "%s", message)
		return
	}
	d.err = fmt.Errorf("%w: %s: %s", ErrInvalid, d.path, message)
}
