package config

import (
	"slices"
	"strings"
	"time"
)

// Derived is a setting of worker.conf that whoever deploys the worker decides. An operator's file may say the same, or nothing.
type Derived struct {
	Section, Key string
	// Value is what the deployment has, in the words of the file; empty for nothing.
	Value string
	// Same says whether what the file has means the same; nil for texts that are equal.
	Same func(file, derived string) bool
	// Secret keeps what the file has, and what the deployment has, out of errors.
	Secret bool
	// Elsewhere says that the worker finds it in another file, as its account at the broker: it is compared alone.
	Elsewhere bool
	// Unknown says that the deployment will have a value, and nobody knows it yet: the file's is not compared, and where it has none
	// it is not missed.
	Unknown bool
	// Option is the name of an option in the file's value, which is words with quotes, where the setting is this option's. Only
	// options of [nova] novaopts are derived.
	Option string
}

// SameWords compares sets of words.
func SameWords(file, derived string) bool {
	sorted := func(text string) []string { return slices.Compact(slices.Sorted(slices.Values(strings.Fields(text)))) }
	return slices.Equal(sorted(file), sorted(derived))
}

// SameDuration compares what durations last, not how they are written.
func SameDuration(file, derived string) bool {
	a, errA := time.ParseDuration(file)
	b, errB := time.ParseDuration(derived)
	return errA == nil && errB == nil && a == b
}

// ParseBase reads an operator's worker.conf, in any of its forms, as the worker will see it once it is deployed: with the derived
// settings in it. Where the file says something else than the deployment it is an ErrInvalid with the line, because one of the two
// would have to be ignored. path is for messages.
func ParseBase(path string, content []byte, derived []Derived) (Worker, error) {
	d, err := parse(path, content, workerSchema, keysMayBeBare)
	if err != nil {
		return Worker{}, err
	}
	for _, one := range derived {
		d.derive(one)
	}
	if d.err != nil {
		return Worker{}, d.err
	}
	return d.worker()
}

// ParseGiven reads an operator's worker.conf by itself: releases, architectures and images may be left for the deployment to say, and
// are empty then. path is for messages.
func ParseGiven(path string, content []byte) (Worker, error) {
	return ParseBase(path, content, []Derived{
		{Section: "autopkgtest", Key: "releases", Unknown: true},
		{Section: "autopkgtest", Key: "architectures", Unknown: true},
		{Section: "unshare", Key: "images", Unknown: true},
	})
}

// derive compares a setting of the file with the deployment's, and puts that into its place.
func (d *document) derive(one Derived) {
	whole := d.value(one.Section, one.Key)
	said, words := whole, []string(nil)
	if one.Option != "" {
		words = d.quoted(one.Section, one.Key)
		said = novaOption(words, one.Option)
	}
	if said != "" && !one.Unknown {
		d.compare(one, said)
	}
	switch {
	case one.Elsewhere:
		d.replace(one.Section, one.Key, "")
	case one.Unknown:
		d.excused[one.Section+"/"+one.Key] = true
	case one.Option == "":
		d.replace(one.Section, one.Key, one.Value)
	case said == "" && one.Value != "":
		d.replace(one.Section, one.Key, JoinQuoted(append(words, "--"+one.Option+"="+one.Value)))
	}
}

// compare fails with the line of what the file says, if the deployment has something else.
func (d *document) compare(one Derived, said string) {
	same := one.Same
	if same == nil {
		same = func(file, derived string) bool { return file == derived }
	}
	what := ""
	if one.Option != "" {
		what = "--" + one.Option + " "
	}
	const wayOut = "write the same, or leave it empty"
	switch {
	case one.Value != "" && same(said, one.Value):
	case one.Secret:
		d.fail(one.Section, one.Key, "%sis another one than the deployment's: %s", what, wayOut)
	case one.Value == "":
		d.fail(one.Section, one.Key, "%sis %q, and the deployment has none: leave it empty, or have the deployment say it", what, said)
	default:
		d.fail(one.Section, one.Key, "%sis %q, and the deployment has %q: %s", what, said, one.Value, wayOut)
	}
}

// replace sets a value, or removes the key where it is empty. Errors about what is set name the line that it took the place of.
func (d *document) replace(section, key, value string) {
	d.file.Section(section).DeleteKey(key)
	delete(d.bare, section+"/"+key)
	if value == "" {
		delete(d.lines, section+"/"+key)
		return
	}
	if _, err := d.file.Section(section).NewKey(key, value); err != nil {
		d.fail(section, key, "%v", err)
	}
}
