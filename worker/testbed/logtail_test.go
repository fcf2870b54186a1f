package testbed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func lines(from, to int) string {
	var out strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintf(&out, "line %04d\n", i) // ten bytes
	}
	return out.String()
}

func TestLogTail(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ log, want string }{
		"empty":                    {"", headSeparator},
		"shorter than the head":    {lines(1, 3), lines(1, 3) + headSeparator},
		"a line that is not over":  {"one\ntw", "one\ntw" + headSeparator},
		"nothing left out":         {lines(1, 205), lines(1, 5) + headSeparator + lines(6, 205)},
		"cut at the end of a line": {lines(1, 206), lines(1, 5) + headSeparator + lines(8, 206)},
		"a piece of a line":        {lines(1, 300) + "xyz", lines(1, 5) + headSeparator + lines(102, 300) + "xyz"},
		"long":                     {lines(1, 5000), lines(1, 5) + headSeparator + lines(4802, 5000)},
		"not UTF-8":                {"a\xffb\n", "a\uFFFDb\n" + headSeparator},
		"head without end":         {strings.Repeat("x", 20000), strings.Repeat("x", maxHead) + headSeparator},
		"tail is one endless line": {lines(1, 5) + strings.Repeat("y", 5000), lines(1, 5) + headSeparator},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(path, []byte(test.log), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := LogTail(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("extract (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLogTailWithoutLog(t *testing.T) {
	t.Parallel()
	if _, err := LogTail(filepath.Join(t.TempDir(), "log")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no log: error = %v, want one that is fs.ErrNotExist", err)
	}
	if _, err := LogTail(t.TempDir()); err == nil {
		t.Error("a folder is read as a log")
	}
}
