package testbed

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestExceededString(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]exceeded{
		"memory limit of 8 GiB":    {limitMemory, 8 << 30},
		"memory limit of 1536 MiB": {limitMemory, 3 << 29},
		"disk limit of 3 KiB":      {limitDisk, 3 << 10},
		"disk limit of 1000 bytes": {limitDisk, 1000},
		"files limit of 1024":      {limitFiles, 1024},
		"processes limit of 1024":  {limitProcesses, 1024},
	} {
		if got := e.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// numbered is a log of so many lines of ten bytes.
func numbered(lines int) string {
	var b strings.Builder
	for i := range lines {
		fmt.Fprintf(&b, "line%05d\n", i)
	}
	return b.String()
}

func TestExcerpt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		log        string
		limit      int64
		head, tail string
		missing    string
	}{
		"short":         {numbered(10), 100, numbered(10), "", ""},
		"empty":         {"", 100, "", "", ""},
		"no limit":      {numbered(1000), 0, numbered(1000), "", ""},
		"long":          {numbered(1000), 200, numbered(10), numbered(1000)[9910:], "9810 bytes"},
		"between lines": {numbered(1000), 195, numbered(9), numbered(1000)[9910:], "9820 bytes"},
		"one line":      {strings.Repeat("x", 1000), 100, strings.Repeat("x", 50), strings.Repeat("x", 50), "900 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := NewExcerpt(strings.NewReader(test.log), int64(len(test.log)), test.limit)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(e)
			if err != nil || int64(len(got)) != e.Size {
				t.Fatalf("read %d bytes of %d, error %v", len(got), e.Size, err)
			}
			text := string(got)
			if !strings.HasPrefix(text, test.head) || !strings.HasSuffix(text, test.tail) {
				t.Errorf("excerpt:\n%s", text)
			}
			line := strings.TrimSuffix(strings.TrimPrefix(text, test.head), test.tail)
			if test.missing == "" && line != "" || test.missing != "" && !strings.Contains(line, " "+test.missing+" were left out here") {
				t.Errorf("between head and tail: %q", line)
			}
		})
	}
}

// TestLongLog lets a log grow while its middle is taken away: the disk holds little of it, and the excerpt is whole.
func TestLongLog(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "log")
	const limit = 1 << 20
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	part := []byte(numbered(100000)) // 1 MB
	for range 20 {
		if _, err := file.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := shorten(path, limit); err != nil {
			t.Fatal(err)
		}
	}
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		t.Fatal(err)
	}
	if stat.Blocks*512 > limit+2*punchAlign+8192 {
		t.Errorf("it takes %d bytes on disk", stat.Blocks*512)
	}
	log, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	e, err := NewExcerpt(log, stat.Size, limit)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(e)
	if err != nil || bytes.IndexByte(text, 0) >= 0 {
		t.Errorf("error %v, or a hole is part of the excerpt", err)
	}
	if !bytes.HasPrefix(text, part[:limit/2-10]) || !bytes.HasSuffix(text, part[len(part)-limit/2+10:]) {
		t.Error("the excerpt has not the log's head and tail")
	}
}

// TestKeepLogsShort leaves alone what is no log, and does not follow links.
func TestKeepLogsShort(t *testing.T) {
	t.Parallel()
	folder, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "precious")
	for _, path := range []string{elsewhere, filepath.Join(folder, "one-stdout"), filepath.Join(folder, "data")} {
		if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(elsewhere, filepath.Join(folder, "log")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(folder, "two-stderr"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	keepLogsShort(ctx, folder, 1000, slog.New(slog.DiscardHandler))
	if err := shorten(filepath.Join(folder, "log"), 1000); err == nil {
		t.Error("a link was followed")
	}
	for path, kept := range map[string]bool{elsewhere: true, filepath.Join(folder, "one-stdout"): false, filepath.Join(folder, "data"): true} {
		var stat unix.Stat_t
		if err := unix.Stat(path, &stat); err != nil {
			t.Fatal(err)
		}
		if (stat.Blocks*512 >= 1<<20) != kept {
			t.Errorf("%s takes %d bytes", path, stat.Blocks*512)
		}
	}
	note(folder, "not through a link")
	if text, err := os.ReadFile(elsewhere); err != nil || len(text) != 1<<20 {
		t.Errorf("a note was written through a link: %d bytes, %v", len(text), err)
	}
}

func TestUnescape(t *testing.T) {
	t.Parallel()
	if got := unescape(`/a\040b\134c`); got != `/a b\c` {
		t.Errorf("%q", got)
	}
}

// TestListProcesses finds this very process with what it has.
func TestListProcesses(t *testing.T) {
	t.Parallel()
	all := listProcesses()
	own := fmt.Sprintf("/proc/%d", os.Getpid())
	for _, p := range all {
		if p.folder == own {
			if p.threads < 1 || p.memory < 1<<20 {
				t.Errorf("%+v", p)
			}
			if shared := sharedOnce([]process{p}); shared <= 0 || shared > 2*p.memory {
				t.Errorf("%d bytes, of which %d are counted", p.memory, shared)
			}
			return
		}
	}
	t.Errorf("%d processes, but not %s", len(all), own)
}

// TestSummed counts what lies in a folder: its bytes on disk, and all that has an inode.
func TestSummed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for i := range 20 {
		if err := os.WriteFile(filepath.Join(folder, strconv.Itoa(i)), make([]byte, 1<<16*(i%2)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(folder, "1"), filepath.Join(folder, "the same")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(folder, "deeper"), 0o700); err != nil {
		t.Fatal(err)
	}
	if files := summed([]string{folder}, "--inodes"); files != 22 {
		t.Errorf("%d files, want 20 and two folders", files)
	}
	if bytes := summed([]string{folder}, "-B1"); bytes < 10<<16 || bytes > 12<<16 {
		t.Errorf("%d bytes, want those of ten files", bytes)
	}
}

// TestNameless finds a file that has lost its name.
func TestNameless(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file, err := os.Create(filepath.Join(folder, "gone"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(make([]byte, 3<<20)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file.Name()); err != nil {
		t.Fatal(err)
	}
	if files, bytes := nameless(folder); files < 1 || bytes < 3<<20 {
		t.Errorf("%d files of %d bytes", files, bytes)
	}
}
