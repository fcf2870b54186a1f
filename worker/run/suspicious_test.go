package run

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTestBegan(t *testing.T) {
	t.Parallel()
	const line = "autopkgtest [12:00:00]: test a b.c+d: [-----------------------"
	for name, test := range map[string]struct {
		log  string
		want bool
	}{
		"empty":                   {"", false},
		"only preparations":       {"autopkgtest [12:00:00]: test smoke: preparing testbed\nGet:1 http://x\n", false},
		"began":                   {"x\n" + line + "\nok\n", true},
		"the last line":           {"x\n" + line, true},
		"said by something else":  {"echo " + line + "\n", false},
		"after a very long line":  {strings.Repeat("x", 100_000) + "\n" + line + "\n", true},
		"within a very long line": {strings.Repeat("x", 4096) + line + "\n", false},
	} {
		folder := t.TempDir()
		output(folder, map[string]string{logFile: test.log})
		if got := testBegan(folder); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
	linked := t.TempDir()
	if err := os.Symlink("/etc/passwd", filepath.Join(linked, logFile)); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{linked, t.TempDir()} {
		if testBegan(folder) {
			t.Errorf("a log that is a link, or none: began")
		}
	}
}
