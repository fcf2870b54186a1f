package site

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func mustParse(t *testing.T, text string) *Log {
	t.Helper()
	log, err := parseLog(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func titles(log *Log) []string {
	var list []string
	for _, s := range log.Sections {
		list = append(list, fmt.Sprintf("%d %s (%d) %s %s", s.Number, s.Title, s.Count, s.Status, s.Took))
	}
	return list
}

func TestLogSections(t *testing.T) {
	t.Parallel()
	want := []string{
		"1 start (3)  0s", "2 test bed setup (7)  5s", "3 apt-source gzip (5)  2s", "4 simple-gzip: preparing testbed (6)  3s",
		"5 simple-gzip: output (4)  1s", "6 simple-gzip: results (2) PASS 0s", "7 broken: preparing testbed (1)  0s",
		"8 broken: output (4)  2s", "9 broken: results (2) FAIL 0s", "10 broken: stderr (2)  0s",
		"11 skippy: preparing testbed (1)  1s", "12 skippy: output (3)  0s", "13 skippy: results (2) SKIP 0s",
		"14 summary (4) FAIL 0s",
	}
	log := mustParse(t, realLog)
	if diff := cmp.Diff(want, titles(log)); diff != "" {
		t.Error(diff)
	}
	if log.Lines != 46 || log.Omitted != 0 || log.Cut || log.Broken {
		t.Errorf("%d lines, %d omitted, cut %v, broken %v", log.Lines, log.Omitted, log.Cut, log.Broken)
	}

	// Newer versions of autopkgtest put the seconds since the start in front of every line.
	var elapsed strings.Builder
	for i, line := range strings.SplitAfter(strings.TrimSuffix(realLog, "\n"), "\n") {
		fmt.Fprintf(&elapsed, "%3ds %s", i, line)
	}
	if diff := cmp.Diff(want, titles(mustParse(t, elapsed.String()))); diff != "" {
		t.Errorf("with seconds: %s", diff)
	}
}

func TestLogLines(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ in, want string }{
		"colours":            {"\x1b[1;31mred\x1b[0m and \x1b]plain", "red and plain"},
		"a progress bar":     {"10%\r50%\r100%\r", "100%"},
		"not UTF-8":          {"caf\xe9", "caf\uFFFD"},
		"control characters": {"a\x00b\x07c\td", "a\uFFFDb\uFFFDc\td"},
		"a long line":        {strings.Repeat("x", 3*logLine), strings.Repeat("x", logLine) + " […]"},
		"a long line, cut inside of a character": {strings.Repeat("x", logLine-1) + "é" + "more",
			strings.Repeat("x", logLine-1) + " […]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := mustParse(t, test.in+"\nnext")
			if len(log.Sections) != 1 || len(log.Sections[0].Head) != 2 {
				t.Fatalf("%+v", log)
			}
			if diff := cmp.Diff(test.want, log.Sections[0].Head[0].Text); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLogPastMidnight(t *testing.T) {
	t.Parallel()
	log := mustParse(t, "autopkgtest [23:59:50]: @@@@@@@@@@ test bed setup\nautopkgtest [00:00:20]: @@@@@@@@@@ summary\n")
	if log.Sections[0].Took != 30*time.Second {
		t.Error(log.Sections[0].Took)
	}
}

// endless is a log that goes on for a long time.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	line := []byte("a line of a test that says the same thing over and over again, and more\n")
	n := 0
	for n+len(line) <= len(p) && e.left > 0 {
		n += copy(p[n:], line)
		e.left--
	}
	if e.left == 0 {
		return n, io.EOF
	}
	return n, nil
}

func TestHugeLogIsBounded(t *testing.T) {
	t.Parallel()
	const lines = 600_000 // more than 40 MB
	end := "autopkgtest [10:00:00]: @@@@@@@@@@ summary\nbroken FAIL at last\n"
	log, err := parseLog(io.MultiReader(strings.NewReader(realLog[:300]+"\n"), &endless{left: lines}, strings.NewReader(end)))
	if err != nil {
		t.Fatal(err)
	}
	first, last := log.Sections[0], log.Sections[len(log.Sections)-1]
	if first.Head[0].Text != strings.SplitN(realLog, "\n", 2)[0] {
		t.Errorf("the log begins with %q", first.Head[0].Text)
	}
	if last.Title != "summary" || last.Status != "FAIL" || len(last.Tail) != 2 {
		t.Errorf("the log ends with %+v", last)
	}
	kept, size := 0, 0
	number := 0
	for _, s := range log.Sections {
		for _, line := range append(append([]Line{}, s.Head...), s.Tail...) {
			kept++
			size += len(line.Text)
			if line.Number <= number {
				t.Fatalf("line %d after %d", line.Number, number)
			}
			number = line.Number
		}
	}
	if log.Lines < lines || kept+log.Omitted != log.Lines || number != log.Lines {
		t.Errorf("%d lines, %d kept, %d omitted, the last is %d", log.Lines, kept, log.Omitted, number)
	}
	if size > logHead+logTail {
		t.Errorf("%d bytes are kept", size)
	}
}

func TestManySections(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("autopkgtest [10:00:00]: @@@@@@@@@@ again\n", 3*logSections)
	if log := mustParse(t, text); len(log.Sections) != logSections || log.Lines != 3*logSections {
		t.Errorf("%d sections, %d lines", len(log.Sections), log.Lines)
	}
}

func FuzzParseLog(f *testing.F) {
	f.Add([]byte(realLog))
	f.Add([]byte("autopkgtest [10:00:00]: test x: [-----\n\x1b[0m\r\nx PASS\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		log, err := parseLog(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for _, s := range log.Sections {
			count += len(s.Head) + s.Omitted + len(s.Tail)
			for _, line := range s.Head {
				if !utf8.ValidString(line.Text) || strings.ContainsAny(line.Text, "\n\r\x00\x1b") {
					t.Errorf("line %q", line.Text)
				}
			}
		}
		if count != log.Lines {
			t.Errorf("%d lines in the sections, %d in all", count, log.Lines)
		}
	})
}

func BenchmarkParseLog(b *testing.B) {
	text := strings.Repeat(realLog, 2000) // about 8 MB
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := parseLog(strings.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}
