package testbed

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// spaceLeft, in bytes, and filesLeft are how much of the file system must stay free. When it gets less, it is full for this run
// and all others: a test that fails then is not to blame, so the run is ended as the testbed's failure.
const (
	spaceLeft = 64 << 20
	filesLeft = 4096
)

// disk looks at the files of the run. The error means that the file system is full, whoever has filled it.
func (w watch) disk() (*exceeded, error) {
	if limit := w.limits.Disk; limit > 0 {
		_, bytes := nameless(w.folders[0])
		if summed(w.folders, "-B1")+bytes > limit {
			return &exceeded{limitDisk, limit}, nil
		}
	}
	if limit := w.limits.Files; limit > 0 {
		files, _ := nameless(w.folders[0])
		if summed(w.folders, "--inodes")+files > limit {
			return &exceeded{limitFiles, limit}, nil
		}
	}
	var fs unix.Statfs_t
	_ = unix.Statfs(w.folders[0], &fs) // what cannot be asked is not full
	if fs.Bsize > 0 && fs.Bavail*uint64(fs.Bsize) < spaceLeft {
		return nil, fmt.Errorf("less than %s are left", size(spaceLeft))
	}
	// Some file systems make inodes as they are needed, and say that they have none.
	if fs.Files > 0 && fs.Ffree < filesLeft {
		return nil, fmt.Errorf("less than %d further files can be made", filesLeft)
	}
	return nil, nil //nolint:nilnil // neither of the two is the usual answer
}

// summed is what folders take of what the unit of du counts. It asks du, which is at home in trees of any depth that change while
// one looks.
func summed(folders []string, unit string) int64 {
	path, err := findCommand("du", "coreutils")
	if err != nil {
		return 0
	}
	args := append([]string{"-s", "-c", "-x", unit, "--"}, folders...)
	// What it prints is right, but for files that went away meanwhile: those make it fail.
	out, _ := exec.CommandContext(context.Background(), path, args...).Output()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	total, _, _ := strings.Cut(lines[len(lines)-1], "\t")
	used, _ := strconv.ParseInt(total, 10, 64)
	return used
}

// nameless sums up files that were removed while a process has them open.
func nameless(folder string) (files, bytes int64) {
	var where unix.Stat_t
	if unix.Stat(folder, &where) != nil {
		return 0, 0
	}
	seen := map[uint64]bool{}
	folders, _ := filepath.Glob("/proc/[0-9]*/fd") // the pattern is well-formed
	for _, of := range folders {
		dir, err := os.Open(of)
		if err != nil {
			continue
		}
		names, _ := dir.Readdirnames(-1)
		for _, name := range names {
			var file unix.Stat_t
			if unix.Fstatat(int(dir.Fd()), name, &file, 0) != nil || file.Dev != where.Dev || file.Nlink != 0 ||
				file.Mode&unix.S_IFMT != unix.S_IFREG || seen[file.Ino] {
				continue
			}
			seen[file.Ino] = true
			files++
			bytes += file.Blocks * 512
		}
		dir.Close()
	}
	return files, bytes
}
