package config

import (
	"fmt"
	"strings"
)

// KeyName is the key pair that a worker.conf has its testbeds made with, and where it says so.
type KeyName struct {
	Name string
	// Place is FILE:LINE.
	Place string
}

// ParseKeyName reads the option --keyname of autopkgtest's set-up script for Nova out of a worker.conf: in [nova] novaopts, the form
// of 2015, or in [virt] args. path is for messages. A file that names none, or one that depends on the run, is an ErrInvalid; what
// else is in the file does not matter here.
func ParseKeyName(path string, content []byte) (KeyName, error) {
	d, err := parse(path, content, workerSchema, keysMayBeBare)
	if err != nil {
		return KeyName{}, err
	}
	var found KeyName
	for _, place := range [][2]string{{"nova", "novaopts"}, {"virt", "args"}} {
		section, key := place[0], place[1]
		name, given := keyNameIn(d.quoted(section, key))
		switch {
		case !given:
			continue
		case name == "":
			d.fail(section, key, "--keyname has no name")
		case strings.Contains(name, "$"):
			d.fail(section, key, "the key pair %q depends on the run: write the name itself", name)
		case found.Name != "" && found.Name != name:
			d.fail(section, key, "the key pair is %q, and in %s it is %q", name, found.Place, found.Name)
		}
		found = KeyName{Name: name, Place: fmt.Sprintf("%s:%d", path, d.lines[section+"/"+key])}
	}
	if found.Place == "" {
		d.fail("nova", "novaopts", "names no key pair: add --keyname=NAME")
	}
	if d.err != nil {
		return KeyName{}, d.err
	}
	return found, nil
}

// keyNameIn finds the script's option in its two spellings, each with the name in the same word or in the next. The last one counts,
// as for the script.
func keyNameIn(words []string) (name string, given bool) {
	for i, word := range words {
		next := ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		switch {
		case word == "--keyname" || word == "-k":
			name, given = next, true
		case strings.HasPrefix(word, "--keyname="):
			name, given = strings.TrimPrefix(word, "--keyname="), true
		case strings.HasPrefix(word, "-k"):
			name, given = strings.TrimPrefix(word, "-k"), true
		}
	}
	return name, given
}
