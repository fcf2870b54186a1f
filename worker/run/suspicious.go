package run

import (
	"bufio"
	"errors"
	"io"
	"os"
	"regexp"
)

// suspicious reports whether an outcome is the package's only if the testbed was sound: autopkgtest takes a dependency that
// cannot be installed for the package's mistake, whether the package or the mirror is to blame for that.
func suspicious(a attempt) bool {
	switch a.outcome.ExitCode {
	case 12, 14: // erroneous package
		return !a.outcome.TimedOut
	case 4, 6: // a test failed
		return !a.outcome.TimedOut && !testBegan(a.folder)
	}
	return false
}

// testLine is autopkgtest's line before a test's own output.
var testLine = regexp.MustCompile(`^autopkgtest \[[0-9:]{8}\]: test .*: \[-{3}`)

// testBegan reports whether the log in an output folder tells of a test that began. One that cannot be read does not.
func testBegan(folder string) bool {
	file, err := os.OpenFile(folder+"/"+logFile, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return false
	}
	lines := bufio.NewReader(file)
	for whole := true; ; {
		// A line may be longer than the buffer; only its beginning is looked at.
		line, err := lines.ReadSlice('\n')
		if whole && testLine.Match(line) {
			return true
		}
		whole = !errors.Is(err, bufio.ErrBufferFull)
		if err != nil && whole {
			return !errors.Is(err, io.EOF)
		}
	}
}
