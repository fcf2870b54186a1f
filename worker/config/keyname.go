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
	note := func(section, key, name string) {
		switch {
		case name == "":
			return
		case strings.Contains(name, "$"):
			d.fail(section, key, "the key pair %q depends on the run: write the name itself", name)
		case found.Name != "" && found.Name != name:
			d.fail(section, key, "the key pair is %q, and in %s it is %q", name, found.Place, found.Name)
		}
		found = KeyName{Name: name, Place: fmt.Sprintf("%s:%d", path, d.lines[section+"/"+key])}
	}
	options, err := ParseNovaOptions(d.quoted("nova", "novaopts"))
	if err != nil {
		d.fail("nova", "novaopts", "%v", err)
	}
	note("nova", "novaopts", options.KeyName)
	note("virt", "args", keyNameIn(d.quoted("virt", "args")))
	if found.Place == "" {
		d.fail("nova", "novaopts", "names no key pair: add --keyname=NAME")
	}
	if d.err != nil {
		return KeyName{}, d.err
	}
	return found, nil
}

// keyNameIn finds the option among those of the set-up script, which are not all known here, in its two spellings, each with the name
// in the same word or in the next. The last one counts, as for the script.
func keyNameIn(words []string) (name string) {
	for i, word := range words {
		switch {
		case word == "--keyname" || word == "-k":
			if i+1 < len(words) {
				name = words[i+1]
			}
		case strings.HasPrefix(word, "--keyname="):
			name = strings.TrimPrefix(word, "--keyname=")
		case strings.HasPrefix(word, "-k"):
			name = strings.TrimPrefix(word, "-k")
		}
	}
	return name
}
