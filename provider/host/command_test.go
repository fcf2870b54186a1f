package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// run runs a shell script and returns what it printed.
func run(t *testing.T, d *Directory, script string, environment ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := d.Run(t.Context(), Command{Argv: []string{"sh", "-c", script}, Env: environment, Stdout: &out,
		Stdin: strings.NewReader("input")})
	return strings.TrimSpace(out.String()), err
}

func TestRunAsTheAccount(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	for name, test := range map[string]struct{ script, want string }{
		"user":        {"id -u", fmt.Sprint(d.Account().UID)},
		"folder":      {"pwd", d.Path()},
		"input":       {"cat", "input"},
		"marks":       {"echo $" + DirectoryMark, d.Path()},
		"environment": {"echo $ADDED $HOME", "yes " + d.Account().Home},
		"session":     {"[ $(ps -o sid= -p $$) = $$ ] && echo own", "own"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := run(t, d, test.script, "ADDED=yes"); err != nil || got != test.want {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

// Not parallel: it changes the environment of this process.
func TestRunTakesNothingFromOurEnvironment(t *testing.T) {
	d := newDirectory(t)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
	if got, err := run(t, d, "env"); err != nil || strings.Contains(got, "hunter2") {
		t.Errorf("the child has our environment: %v\n%s", err, got)
	}
}

func TestRunReportsTheEndOfStderr(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	_, err := run(t, d, "seq 1 5000 >&2; echo the reason >&2; exit 3")
	if err == nil || !strings.HasSuffix(err.Error(), "the reason") || !strings.Contains(err.Error(), "exit status 3") ||
		len(err.Error()) > 5000 {
		t.Errorf("error %v", err)
	}
	err = d.Run(t.Context(), Command{Argv: []string{"no-such-program"}})
	if !errors.Is(err, ErrMissing) {
		t.Errorf("error %v", err)
	}
}

func TestRunLeavesNobodyBehind(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"cancelled":         "sleep 1000 & setsid sleep 1000 & echo started; wait",
		"ended by itself":   "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo started",
		"without listening": "trap '' TERM; sleep 1000 & echo started; wait",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDirectory(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := d.Run(ctx, Command{Argv: []string{"sh", "-c", script}, Stdout: writerFunc(func([]byte) {
				if name != "ended by itself" {
					cancel()
				}
			})})
			if (err != nil) != (name != "ended by itself") || err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			expectNobody(t, d)
		})
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(data []byte) (int, error) {
	f(data)
	return len(data), nil
}

func expectNobody(t testing.TB, d *Directory) {
	t.Helper()
	all, err := d.processes()
	if err != nil {
		t.Fatal(err)
	}
	if left := all.choose(func(process) bool { return true }); len(left) > 0 {
		t.Errorf("left behind: %+v", left)
	}
}

// Go closes its own descriptors in children; what we ourselves were started with it does not know.
func TestChildrenInheritNoDescriptor(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	inherited := inheritable(t)
	got, err := run(t, d, "ls -l /proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got, inherited) {
		t.Errorf("the child has our %s:\n%s", inherited, got)
	}
}

// inheritable opens a file in the way that a careless parent would have left it open for us.
func inheritable(t *testing.T) (path string) {
	t.Helper()
	path = t.TempDir() + "/inherited"
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	clearCloseOnExec(t, file)
	return path
}

// TestEndCommands: of one group, and no other.
func TestEndCommands(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	start := func(group string) (ended chan error) {
		begun, begin := io.Pipe()
		ended = make(chan error, 1)
		go func() {
			ended <- d.Run(t.Context(), Command{Argv: []string{"sh", "-c", "echo begun; sleep 1000"}, Stdout: begin, Group: group})
		}()
		if _, err := io.ReadFull(begun, make([]byte, len("begun\n"))); err != nil {
			t.Fatal(err)
		}
		return ended
	}
	mine, other := start("one"), start("one-more")
	if err := d.EndCommands(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	if err := <-mine; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("error %v", err)
	}
	select {
	case err := <-other:
		t.Errorf("the command of another group has ended: %v", err)
	default:
	}
	if err := d.EndCommands(t.Context(), "one-more"); err != nil || <-other == nil {
		t.Errorf("error %v", err)
	}
}
