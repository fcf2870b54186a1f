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

// spaceLeft is how much of the file system must stay free. When it gets less, it is full for this run and all others: a test
// that fails then is not to blame, so the run is ended as the testbed's failure.
const spaceLeft = 64 << 20

// disk looks at the files of the run. The error means that the file system is full, whoever has filled it.
func (w watch) disk() (*exceeded, error) {
	limit := w.limits.Disk
	if limit > 0 && diskUsed(w.folders) > limit {
		return &exceeded{limitDisk, limit}, nil
	}
	var fs unix.Statfs_t
	if unix.Statfs(w.folders[0], &fs) == nil && fs.Bavail*uint64(fs.Bsize) < spaceLeft {
		return nil, fmt.Errorf("less than %s are left", size(spaceLeft))
	}
	return nil, nil //nolint:nilnil // neither of the two is the usual answer
}

// diskUsed is what folders take, in bytes. It asks du, which is at home in trees of any depth that change while one looks.
func diskUsed(folders []string) int64 {
	path, err := findCommand("du", "coreutils")
	if err != nil {
		return 0
	}
	args := append([]string{"-s", "-c", "-x", "-B1", "--"}, folders...)
	// What it prints is right, but for files that went away meanwhile: those make it fail.
	out, _ := exec.CommandContext(context.Background(), path, args...).Output()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	total, _, _ := strings.Cut(lines[len(lines)-1], "\t")
	used, _ := strconv.ParseInt(total, 10, 64)
	return used + nameless(folders[0])
}

// nameless sums up files that were removed while a process has them open.
func nameless(folder string) (sum int64) {
	var where unix.Stat_t
	if unix.Stat(folder, &where) != nil {
		return 0
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
			sum += file.Blocks * 512
		}
		dir.Close()
	}
	return sum
}
