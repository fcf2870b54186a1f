package result

// Class is the word for an outcome that people and the website's pages use.
type Class string

// The classes.
const (
	Pass       Class = "pass"
	Fail       Class = "fail"
	Neutral    Class = "neutral"    // no tests, or all skipped
	Tmpfail    Class = "tmpfail"    // the testbed failed
	Error      Class = "error"      // autopkgtest was used wrongly, or gave up
	Denylisted Class = "denylisted" // deliberately never run
	OtherFail  Class = "otherfail"
)

// Classes lists all of them, best first.
var Classes = []Class{Pass, Neutral, Fail, Tmpfail, Error, Denylisted, OtherFail}

// exitNeverRun is not autopkgtest's: workers write it for what they do not run.
const exitNeverRun = 99

// Classify says what autopkgtest's exit code means.
func Classify(exit int) Class {
	switch exit {
	case 0, 2: // 2: some tests skipped, or flaky ones failed
		return Pass
	case 4, 6, 12, 14: // a test failed; the package is erroneous; the even ones with some skipped
		return Fail
	case 8:
		return Neutral
	case 16:
		return Tmpfail
	case 20:
		return Error
	case exitNeverRun:
		return Denylisted
	}
	return OtherFail
}

// validExitCode accepts a process's, and Python's way to tell of a signal.
func validExitCode(code int) bool { return code >= -255 && code <= 255 }
