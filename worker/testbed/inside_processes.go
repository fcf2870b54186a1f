package testbed

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process is what the run's first process wants to know of another one.
type process struct {
	folder  string // below /proc
	threads int64
	memory  int64 // its own and shared pages, without those of files on disk: they can be read again
}

// listProcesses lists all processes of this namespace and those below it. One that ends meanwhile is passed over.
func listProcesses() []process {
	folders, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well-formed
	all := make([]process, 0, len(folders))
	for _, folder := range folders {
		text, err := os.ReadFile(folder + "/status")
		if err != nil {
			continue
		}
		p := process{folder: folder}
		for line := range bytes.Lines(text) {
			name, value, _ := bytes.Cut(line, []byte(":"))
			switch string(name) {
			case "Threads":
				p.threads = number(value)
			case "RssAnon", "RssShmem", "VmSwap":
				p.memory += number(value) << 10
			}
		}
		all = append(all, p)
	}
	return all
}

// number reads the first word of a value, as the kernel prints it.
func number(value []byte) int64 {
	fields := bytes.Fields(value)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(string(fields[0]), 10, 64) // the kernel's
	return n
}

// sharedOnce sums up memory such that a page of several processes counts once.
func sharedOnce(all []process) (sum int64) {
	for _, p := range all {
		text, err := os.ReadFile(p.folder + "/smaps_rollup")
		if err != nil {
			if _, gone := os.Stat(p.folder); gone == nil {
				sum += p.memory
			}
			continue
		}
		for line := range bytes.Lines(text) {
			name, value, _ := bytes.Cut(line, []byte(":"))
			switch string(name) {
			case "Pss_Anon", "Pss_Shmem", "SwapPss":
				sum += number(value) << 10
			}
		}
	}
	return sum
}

// memoryFiles sums up the files that lie in memory: in a file system of the kind tmpfs, which root of a testbed may mount.
func memoryFiles(all []process) (sum int64) {
	namespaces, seen := map[string]bool{}, map[string]bool{}
	for _, p := range all {
		namespace, err := os.Readlink(p.folder + "/ns/mnt")
		if err != nil || namespaces[namespace] {
			continue
		}
		namespaces[namespace] = true
		text, err := os.Open(p.folder + "/mountinfo")
		if err != nil {
			continue
		}
		for scanner := bufio.NewScanner(text); scanner.Scan(); {
			// 36 35 98:0 /root /mount/point options - type source options
			before, after, found := strings.Cut(scanner.Text(), " - ")
			fields := strings.Fields(before)
			if !found || len(fields) < 5 || !strings.HasPrefix(after, "tmpfs ") || seen[fields[2]] {
				continue
			}
			seen[fields[2]] = true
			var fs unix.Statfs_t
			if unix.Statfs(p.folder+"/root"+unescape(fields[4]), &fs) == nil && fs.Type == unix.TMPFS_MAGIC {
				sum += int64(fs.Blocks-fs.Bfree) * fs.Bsize
			}
		}
		text.Close()
	}
	return sum
}

// unescape undoes what the kernel does to blanks in the names of folders: \040.
func unescape(path string) string {
	if !strings.Contains(path, `\`) {
		return path
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}
