package config

import "strconv"

// Count is a limit of things that are counted. Zero means that nothing was said, so that a file which is written without it
// gets the default.
type Count int

// AnyNumber is the file's 0.
const AnyNumber Count = -1

// String is what the file has; empty when nothing was said.
func (c Count) String() string {
	switch {
	case c == 0:
		return ""
	case c < 0:
		return "0"
	}
	return strconv.Itoa(int(c))
}

func (d *document) count(section, key string, otherwise Count) Count {
	if d.value(section, key) == "0" {
		return AnyNumber
	}
	return Count(d.numberOr(section, key, 0, int(otherwise)))
}
