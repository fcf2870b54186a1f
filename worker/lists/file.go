package lists

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"syscall"
	"time"
)

// file is a list on disk, and the last good content of it.
type file struct {
	kind Kind
	path string
	log  *slog.Logger

	seen    signature // of the file when it was last read, whatever it held
	list    List
	hash    string
	read    time.Time
	problem string // why what is on disk is not in force; said once
}

// signature changes whenever a file's content does, but for a change within a tick of the file system's clock; see settled.
type signature struct {
	inode, device     uint64
	size              int64
	modified, changed time.Time
	settled           bool
}

// tick is more than the granularity of any file system's clock that holds a git checkout.
const tick = 2 * time.Second

func signatureOf(info fs.FileInfo, now time.Time) signature {
	s := signature{size: info.Size(), modified: info.ModTime()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode, s.device, s.changed = stat.Ino, stat.Dev, time.Unix(stat.Ctim.Unix())
	}
	// A file that has just been written may be written again without a sign of it.
	s.settled = now.Sub(s.modified) > tick && now.Sub(s.changed) > tick
	return s
}

// refresh reads the file if it has changed. What is wrong with it is said when it is first seen.
func (f *file) refresh() {
	now := time.Now()
	info, err := os.Stat(f.path)
	if err != nil {
		f.seen = signature{}
		f.complain(err)
		return
	}
	seen := signatureOf(info, now)
	if seen == f.seen && seen.settled {
		return
	}
	f.seen = seen
	content, err := readRegular(f.path)
	if err != nil {
		f.seen = signature{}
		f.complain(err)
		return
	}
	sum := sha256.Sum256(content)
	hash := hex.EncodeToString(sum[:])
	if hash == f.hash {
		f.mended()
		return
	}
	list, err := Parse(content)
	if err != nil {
		f.complain(fmt.Errorf("%s: %w", f.path, err))
		return
	}
	f.list, f.hash, f.read = list, hash, now
	f.mended()
	f.log.Info("read a list of packages", "list", string(f.kind), "path", f.path, "entries", len(list.entries), "sha256", hash[:12])
}

func readRegular(path string) ([]byte, error) {
	opened, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe does not make us wait
	if err != nil {
		return nil, err
	}
	defer func() { _ = opened.Close() }()
	info, err := opened.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New(path + " is not a regular file")
	}
	return io.ReadAll(io.LimitReader(opened, maxList+1))
}

func (f *file) complain(err error) {
	if f.problem == err.Error() {
		return
	}
	f.problem = err.Error()
	kept := "the list stays empty"
	if f.hash != "" {
		kept = "the one that was read at " + f.read.UTC().Format(time.RFC3339) + " stays in force"
	}
	f.log.Error("a list of packages cannot be used: "+kept, "list", string(f.kind), "error", err)
}

func (f *file) mended() {
	if f.problem == "" {
		return
	}
	f.problem = ""
	f.log.Info("a list of packages can be used again", "list", string(f.kind), "path", f.path)
}
