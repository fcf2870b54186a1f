package host

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// LogLimit bounds the log of a process, which svlogd writes and rotates.
type LogLimit struct {
	Bytes int // of one file, the one that is written among them
	Files int // that are kept beside it
}

// DefaultLogLimit is 60 MB in all.
var DefaultLogLimit = LogLimit{Bytes: 10_000_000, Files: 5}

// Filled has the defaults where nothing is said.
func (l LogLimit) Filled() LogLimit {
	if l.Bytes == 0 {
		l.Bytes = DefaultLogLimit.Bytes
	}
	if l.Files == 0 {
		l.Files = DefaultLogLimit.Files
	}
	return l
}

const logConfigFormat = "s%d\nn%d\n"

// config is svlogd's own.
func (l LogLimit) config() string { return fmt.Sprintf(logConfigFormat, l.Bytes, l.Files) }

// LogLimit is what bounds a process's log now; zero if nothing that we have written does.
func (d *Directory) LogLimit(process string) (l LogLimit, err error) {
	content, err := d.ReadFile(filepath.Join("log", process, "config"))
	if errors.Is(err, fs.ErrNotExist) {
		return LogLimit{}, nil
	}
	if err != nil {
		return LogLimit{}, err
	}
	if read, _ := fmt.Sscanf(string(content), logConfigFormat, &l.Bytes, &l.Files); read != 2 {
		return LogLimit{}, nil // somebody else's words
	}
	return l, nil
}
