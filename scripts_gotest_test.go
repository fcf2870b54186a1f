package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/programtest"
)

const (
	quietPackage  = "=== RUN   TestQuiet\n    q_test.go:3: nobody wants to read this\n--- PASS: TestQuiet (0.00s)\nPASS\nok  \tx/quiet\t0.1s\n"
	failedSubtest = `=== RUN   TestGood
=== PAUSE TestGood
=== RUN   TestBad
=== RUN   TestBad/x
=== PAUSE TestBad/x
=== RUN   TestBad/y
=== PAUSE TestBad/y
=== CONT  TestGood
    a_test.go:3: nobody wants to read this
=== CONT  TestBad/x
    a_test.go:5: nor this
=== CONT  TestBad/y
    a_test.go:6: what went wrong
=== NAME  TestGood
    a_test.go:4: nor this, said meanwhile
--- PASS: TestGood (0.00s)
--- FAIL: TestBad (0.00s)
    --- PASS: TestBad/x (0.00s)
    --- FAIL: TestBad/y (0.00s)
FAIL
` + "FAIL\tx/bad\t0.2s\n"
	panicked = "=== RUN   TestFine\n    p_test.go:3: nobody wants to read this\n--- PASS: TestFine (0.00s)\n=== RUN   TestPanic\n" +
		"panic: boom\n\ngoroutine 22 [running]:\nx/panics.TestPanic(0x1)\nFAIL\tx/panics\t0.1s\n"
	unbuilt = "# x/unbuilt [x/unbuilt.test]\nc_test.go:3:28: undefined: thing\n" + quietPackage + "FAIL\tx/unbuilt [build failed]\n"
	skipped = "=== RUN   TestE\n    e_test.go:3: no broker\n--- SKIP: TestE (0.00s)\nPASS\nok  \tx/skips\t0.1s\n"
	empty   = "?   \tx/empty\t[no test files]\n"
)

// TestGoTest: what scripts/go-test shows, and above all that it fails whenever something is wrong.
func TestGoTest(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		output string
		exit   string
		fails  bool
		says   []string
	}{
		"all pass":       {quietPackage + empty, "0", false, []string{"ok  \tx/quiet\t0.1s", "1 passed, 0 failed, 0 skipped"}},
		"one fails":      {failedSubtest + quietPackage, "1", true, []string{"what went wrong", "--- FAIL: TestBad/y", "FAIL\tx/bad", "3 passed, 2 failed"}},
		"one panics":     {panicked, "1", true, []string{"panic: boom", "x/panics.TestPanic(0x1)", "FAIL\tx/panics"}},
		"does not build": {unbuilt, "1", true, []string{"undefined: thing", "[build failed]"}},
		"one is skipped": {quietPackage + skipped, "0", true, []string{"--- SKIP: TestE", "1 skipped", "proves nothing"}},
		"none ran":       {empty, "0", true, []string{"No try test ran"}},
		"go itself dies": {"go: no such tool\n", "2", true, []string{"no such tool", "FAILED"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			write := func(name, text string, mode os.FileMode) {
				if err := os.WriteFile(filepath.Join(folder, name), []byte(text), mode); err != nil {
					t.Fatal(err)
				}
			}
			write("output", test.output, 0o600)
			write("go", "#!/bin/sh\nmkdir $TMPDIR/left; echo $TMPDIR >"+folder+"/place; cat "+folder+"/output\nexit "+test.exit+"\n", 0o700)
			cmd := exec.CommandContext(t.Context(), "scripts/go-test", "try", "./...")
			cmd.Env = append(os.Environ(), "PATH="+folder+":"+os.Getenv("PATH"), "AUTOPKGTEST_TEST_LOGS="+folder)
			out, err := cmd.CombinedOutput()
			if (err != nil) != test.fails {
				t.Errorf("error = %v, want one: %v; it said:\n%s", err, test.fails, out)
			}
			for _, text := range append(test.says, "== try tests") {
				if !strings.Contains(string(out), text) {
					t.Errorf("it does not say %q but:\n%s", text, out)
				}
			}
			if strings.Contains(string(out), "nobody wants") || strings.Contains(string(out), "nor this") {
				t.Errorf("it shows what tests that passed have said:\n%s", out)
			}
			if log, err := os.ReadFile(filepath.Join(folder, "try.log")); err != nil || string(log) != test.output {
				t.Errorf("the log holds %q, error %v", log, err)
			}
			isGone(t, filepath.Join(folder, "place"))
		})
	}
}

// isGone wants that there is no folder of the name that a file holds.
func isGone(t *testing.T, file string) {
	t.Helper()
	place, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(strings.TrimSpace(string(place))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left behind: %v", place, err)
	}
}

// TestGoTestEnds: a signal for scripts/go-test alone ends the tests and what they have started, and their folder goes.
func TestGoTestEnds(t *testing.T) {
	t.Parallel()
	const program = `#!/bin/sh
mkdir "$TMPDIR/left"
echo "$TMPDIR" >"$FOLDER/place"
sleep 1000 &
echo $! >"$FOLDER/process"
setsid bash -c 'exec -a "$0" sleep 1000' "$TMPDIR/server" &
echo $! >"$FOLDER/server"
until grep -q "$TMPDIR/server" "/proc/$!/cmdline"; do :; done
echo >"$FOLDER/hold"
wait
`
	for signal, code := range interruptions {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			hold := filepath.Join(folder, "hold")
			programtest.Write(t, filepath.Join(folder, "go"), program)
			if err := unix.Mkfifo(hold, 0o600); err != nil {
				t.Fatal(err)
			}
			command := bounded(t, "scripts/go-test", "try", "./...")
			command.Env = append(os.Environ(), "PATH="+folder+":"+os.Getenv("PATH"), "AUTOPKGTEST_TEST_LOGS="+folder, "FOLDER="+folder)
			interrupt(t, command, hold, signal, code)
			pid, err := os.ReadFile(filepath.Join(folder, "process"))
			if err != nil {
				t.Fatal(err)
			}
			haveEnded(t, strings.TrimSpace(string(pid)))
			server, err := os.ReadFile(filepath.Join(folder, "server"))
			if err != nil {
				t.Fatal(err)
			}
			// Who has ended and was not waited for has no command line.
			if line, _ := os.ReadFile("/proc/" + strings.TrimSpace(string(server)) + "/cmdline"); strings.Contains(string(line), "/server") {
				t.Errorf("the server is left behind: %q", line)
			}
			isGone(t, filepath.Join(folder, "place"))
		})
	}
}
