package testbed

import (
	"fmt"
	"strconv"
)

// Limits bound what one run takes of its machine, beside its time (Job.Timeout). Zero means no limit.
//
// A run that takes more memory, disk, files or processes than its limit is ended at once, and that is the package's result, as a
// time-out is. A log that grows beyond its limit loses its middle, and the run goes on.
type Limits struct {
	// Disk bounds what lies below Job.WorkDir and Job.OutputDir, in bytes, with files that are open but have no name.
	Disk int64

	// Files bounds the files, folders and links in the same places, empty ones too: each takes an inode, of which a file system
	// may have a fixed number.
	Files int64

	// Log bounds each log: autopkgtest's, and what a test printed, see Excerpt.
	Log int64

	// Memory bounds what all processes of the run have together, in bytes: their own pages, in memory and swapped out, what
	// they share, and files in memory (tmpfs).
	Memory int64

	// Processes bounds the processes and threads of the run, autopkgtest's own and the few of its keeper among them.
	Processes int
}

// exceeded is the error of a run that was ended by one of its limits.
type exceeded struct {
	What  string `json:"what"`
	Limit int64  `json:"limit"`
}

// The limits that end a run.
const (
	limitMemory    = "memory"
	limitDisk      = "disk"
	limitFiles     = "files"
	limitProcesses = "processes"
)

// String names the limit and its value.
func (e *exceeded) String() string {
	value := size(e.Limit)
	if e.What == limitProcesses || e.What == limitFiles {
		value = strconv.FormatInt(e.Limit, 10)
	}
	return e.What + " limit of " + value
}

func (e *exceeded) Error() string { return "the run went beyond its " + e.String() }

// size prints bytes for people, in the largest unit that loses nothing.
func size(bytes int64) string {
	for _, unit := range []struct {
		name  string
		shift int
	}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}} {
		if bytes != 0 && bytes%(1<<unit.shift) == 0 {
			return fmt.Sprintf("%d %s", bytes>>unit.shift, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", bytes)
}
