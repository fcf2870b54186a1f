package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Excerpt is a log as it is stored: whole, or when it is longer than its limit, its head and its tail, with a line between
// them that says how much is missing. A build log tells at its head what was built and at its tail why it failed.
type Excerpt struct {
	io.Reader
	Size int64
}

// NewExcerpt reads a log of a given size, which must not change meanwhile. A limit of zero keeps everything.
func NewExcerpt(log io.ReaderAt, length, limit int64) (Excerpt, error) {
	if limit <= 0 || length <= limit {
		return Excerpt{io.NewSectionReader(log, 0, length), length}, nil
	}
	head, tail := kept(length, limit)
	head, err := lastLine(log, head)
	if err != nil {
		return Excerpt{}, err
	}
	tail, err = nextLine(log, tail, length)
	if err != nil {
		return Excerpt{}, err
	}
	line := fmt.Sprintf("\nautopkgtest-cloud: %d bytes were left out here: the log grew beyond its limit of %s\n\n", tail-head, size(limit))
	return Excerpt{
		Reader: io.MultiReader(io.NewSectionReader(log, 0, head), strings.NewReader(line), io.NewSectionReader(log, tail, length-tail)),
		Size:   head + int64(len(line)) + length - tail,
	}, nil
}

// kept is where the head ends and the tail begins of a log that is too long.
func kept(length, limit int64) (head, tail int64) { return limit / 2, length - limit/2 }

// longLine bounds the search for a line's end: a log without lines is cut anywhere.
const longLine = 4096

// lastLine moves the end of the head back to the end of a line.
func lastLine(log io.ReaderAt, head int64) (int64, error) {
	text := make([]byte, min(longLine, head))
	if _, err := log.ReadAt(text, head-int64(len(text))); err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("read a log: %w", err)
	}
	if at := bytes.LastIndexByte(text, '\n'); at >= 0 {
		return head - int64(len(text)) + int64(at) + 1, nil
	}
	return head, nil
}

// nextLine moves the beginning of the tail to the beginning of a line.
func nextLine(log io.ReaderAt, tail, length int64) (int64, error) {
	text := make([]byte, min(longLine, length-tail))
	if _, err := log.ReadAt(text, tail); err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("read a log: %w", err)
	}
	if at := bytes.IndexByte(text, '\n'); at >= 0 {
		return tail + int64(at) + 1, nil
	}
	return tail, nil
}

// IsLog says whether a file of autopkgtest's output is a log, to which the limit for logs applies: autopkgtest's own, and
// what tests printed.
func IsLog(name string) bool {
	return name == "log" || !strings.Contains(name, "/") && (strings.HasSuffix(name, "-stdout") || strings.HasSuffix(name, "-stderr"))
}

// lookAtLogs is how often logs are looked at while they grow.
const lookAtLogs = 500 * time.Millisecond

// keepLogsShort gives the middle of logs in a folder back to the file system while they grow, until the context ends, and
// once more then. Their length stays what it is: whoever writes to them goes on at their end.
func keepLogsShort(ctx context.Context, folder string, limit int64, log *slog.Logger) {
	tick := time.NewTicker(lookAtLogs)
	defer tick.Stop()
	for over := false; !over; {
		select {
		case <-ctx.Done():
			over = true
		case <-tick.C:
		}
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			if !entry.Type().IsRegular() || !IsLog(entry.Name()) {
				continue
			}
			if err := shorten(filepath.Join(folder, entry.Name()), limit); errors.Is(err, unix.EOPNOTSUPP) {
				log.Warn("this file system keeps the middle of long logs, which only counts against the limit on disk", "folder", folder)
				return
			}
		}
	}
}

// punchAlign is more than any file system's block.
const punchAlign = 64 << 10

// shorten takes the middle out of a log that is too long. An error is of interest only if it will come again.
func shorten(path string, limit int64) error {
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() <= limit {
		return err
	}
	head, tail := kept(info.Size(), limit)
	head, tail = (head+punchAlign-1)/punchAlign*punchAlign, tail/punchAlign*punchAlign
	if tail <= head {
		return nil
	}
	return unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, head, tail-head)
}
