package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is a limit in bytes. Zero means that nothing was said, so that a file which is written without it gets the default.
type Size int64

// Unlimited is the file's 0.
const Unlimited Size = -1

// sizeUnits are the letters of the file, in powers of 1024, the largest first.
var sizeUnits = []struct {
	letter string
	bytes  Size
}{{"T", 1 << 40}, {"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}, {"", 1}}

// ParseSize reads 20G, 512M, a number of bytes, or 0 for no limit.
func ParseSize(text string) (Size, error) {
	if text == "0" {
		return Unlimited, nil
	}
	for _, unit := range sizeUnits {
		digits, found := strings.CutSuffix(text, unit.letter)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || n == 0 || Size(n) > (1<<62)/unit.bytes {
			break
		}
		return Size(n) * unit.bytes, nil
	}
	return 0, fmt.Errorf("%q is not a size: a number with K, M, G or T, for example 20G, or 0 for none", text)
}

// String is what ParseSize reads back; empty when nothing was said.
func (s Size) String() string {
	switch {
	case s == 0:
		return ""
	case s < 0:
		return "0"
	}
	for _, unit := range sizeUnits {
		if s%unit.bytes == 0 {
			return strconv.FormatInt(int64(s/unit.bytes), 10) + unit.letter
		}
	}
	panic("not reached: every number is divided by one")
}

// Limit is the number of bytes; ok is false when there is no limit.
func (s Size) Limit() (bytes uint64, ok bool) {
	if s <= 0 {
		return 0, false
	}
	return uint64(s), true
}

func (d *document) size(section, key string, otherwise Size) Size {
	text := d.value(section, key)
	if text == "" {
		return otherwise
	}
	size, err := ParseSize(text)
	if err != nil {
		d.fail(section, key, "%v", err)
	}
	return size
}
