package host

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// The shell is the judge of the quoting.
func TestRunScriptPassesEverythingOn(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	nasty := `it's "$HOME" \n ` + "`id` ; * é"
	p := Process{Name: "toy", Argv: []string{"/usr/bin/env", "-u", "PWD", "sh", "-c", `printf '%s\n' "$NASTY" "$1" "$(pwd)"`, "sh", nasty},
		Env: []string{"NASTY=" + nasty}, Dir: "data"}
	if err := d.MkdirAll("services/toy/data", 0o755); err != nil {
		t.Fatal(err)
	}
	script, err := d.render("toy", p, "inputs")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteFile("services/toy/run", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := run(t, d, "cd services/toy && ./run")
	if want := nasty + "\n" + nasty + "\n" + d.Path("services/toy/data"); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestScriptInputs(t *testing.T) {
	t.Parallel()
	d := &Directory{path: "/srv/stack", account: Account{Name: "a"}}
	script, err := d.render("toy", Process{Name: "toy", Argv: []string{"/bin/true"}}, "abc-1")
	if err != nil {
		t.Fatal(err)
	}
	if got := scriptInputs(script); got != "abc-1" {
		t.Errorf("inputs %q", got)
	}
	marked := markUnfinished(script)
	if got := scriptInputs(marked); got != unfinished {
		t.Errorf("marked inputs %q", got)
	}
	if markUnfinished(marked) != marked || markUnfinished("#!/bin/sh\n") != "#!/bin/sh\n" {
		t.Error("marking again, or marking another script, changes it")
	}
	if strings.Replace(marked, unfinished, "abc-1", 1) != script {
		t.Error("marking changes more than the inputs")
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for name, print := range map[string]string{
		"script":         fingerprint("a", nil),
		"other script":   fingerprint("b", nil),
		"with a file":    fingerprint("a", [][]byte{[]byte("name"), []byte("x")}),
		"cut elsewhere":  fingerprint("a", [][]byte{[]byte("namex"), nil}),
		"other contents": fingerprint("a", [][]byte{[]byte("name"), []byte("y")}),
	} {
		if other, known := seen[print]; known {
			t.Errorf("%s and %s are alike", name, other)
		}
		seen[print] = name
		if one, two := newInputs(print), newInputs(print); one == two || !sameInputs(one, print) || sameInputs(one, print[:5]) {
			t.Errorf("inputs %s, %s of %s", one, two, print)
		}
	}
}

// A runsv that is killed leaves its process behind; the run script of the next one has to end it, and only it.
func TestRunScriptEndsItsForerunnerOnly(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	script, err := d.render("toy", Process{Name: "toy", Argv: []string{"/bin/echo", "running"}, StopWait: time.Second}, "i")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteFile("services/toy/run", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		script      string
		environment []string
		ends        bool
	}{
		"forerunner":      {willing, []string{DirectoryMark + "=" + d.Path(), ProcessMark + "=toy"}, true},
		"stubborn one":    {stubborn, []string{DirectoryMark + "=" + d.Path(), ProcessMark + "=toy"}, true},
		"another process": {willing, []string{DirectoryMark + "=" + d.Path(), ProcessMark + "=toy2"}, false},
		"another stack":   {willing, []string{DirectoryMark + "=/elsewhere", ProcessMark + "=toy"}, false},
		"a stranger":      {willing, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			stranger, ended := startMarked(t, d.Account(), test.script, test.environment...)
			_, err := d.WriteFile("services/toy/pid", fmt.Appendln(nil, stranger.Process.Pid), 0o644)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := run(t, d, "cd services/toy && ./run"); err != nil || !strings.HasSuffix(got, "running") {
				t.Errorf("said %q, %v", got, err)
			}
			// The script has done its work by now; who is still there was spared, or is just dying.
			exists := func() bool {
				p, ok := readProcess(stranger.Process.Pid)
				return ok && p.exists()
			}
			if test.ends {
				eventually(t, "the forerunner", 5*time.Second, func() error {
					if exists() {
						return errors.New("still there")
					}
					return nil
				})
			} else if !exists() {
				t.Error("was ended")
			}
			if err := stranger.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Error(err)
			}
			<-ended
		})
	}
}
