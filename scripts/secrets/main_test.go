package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// TestMain is the command itself when the test calls it.
func TestMain(m *testing.M) {
	if os.Getenv("SECRETS_TEST_IS_THE_COMMAND") != "" {
		os.Exit(start(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func secrets(t *testing.T, arguments ...string) (code int, said string) {
	t.Helper()
	command := itself(t, arguments...)
	out, err := command.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), string(out)
}

func itself(t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self, arguments...)
	command.Env = append(os.Environ(), "SECRETS_TEST_IS_THE_COMMAND=yes", planted+"=ours")
	return command
}

// TestWatch plants a secret among the arguments of a child, which has it from a file: on our own command line anybody would find it.
// The children wait until the watch has said something.
func TestWatch(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	secret := config.NewSecret().Reveal()
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	const script = `exec 3<&0
SECRETS_PLANTED=other sh -c 'read x <&3' "--of-another-watch=$(cat "$1")" &
PASSWORD=$(cat "$1") sh -c 'read x <&3' --in-the-environment &
sh -c 'read x <&3' "--password=$(cat "$1")" &
wait
exit "$2"`
	for name, tc := range map[string]struct{ of, want int }{"the command succeeds": {0, found}, "it fails": {9, 9}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := itself(t, "watch", "--", "sh", "-c", script, "sh", file, strconv.Itoa(tc.of))
			release, err := command.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			output, err := command.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			giveUp := time.AfterFunc(time.Minute, func() { _ = release.Close() })
			defer giveUp.Stop()
			said := ""
			for lines := bufio.NewScanner(output); lines.Scan(); {
				said += lines.Text() + "\n"
				if strings.Contains(said, "--password=") {
					_ = release.Close()
				}
			}
			_ = command.Wait() // its code is looked at
			if code := command.ProcessState.ExitCode(); code != tc.want {
				t.Errorf("exit code %d, want %d", code, tc.want)
			}
			if strings.Count(said, "a generated secret") != 1 || !strings.Contains(said, "--password=") || strings.Contains(said, secret) {
				t.Errorf("it says %q, want the one place, and never the secret", strings.ReplaceAll(said, secret, "***"))
			}
		})
	}
	if code, said := secrets(t, "watch", "--", "true"); code != 0 || !strings.Contains(said, "looked at the arguments of") {
		t.Errorf("nothing to find: exit code %d, %q", code, said)
	}
}

// TestOurs: a process without an environment is one of the suite's, and one that has ended, but was not waited for, is none.
func TestOurs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		environment []string
		ended, want bool
	}{
		"of the suite":     {environment: []string{"A=b"}, want: true},
		"planted":          {environment: []string{planted + "=other"}},
		"no environment":   {environment: []string{}, want: true},
		"ended, of whom":   {environment: []string{"A=b"}, ended: true},
		"ended, with none": {environment: []string{}, ended: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.Command("sleep", "60")
			command.Env = test.environment
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = command.Process.Kill(); _ = command.Wait() }()
			if test.ended {
				_ = command.Process.Kill()
				state := fmt.Sprintf("/proc/%d/stat", command.Process.Pid)
				for text := []byte{}; !bytes.Contains(text, []byte(") Z ")); text, _ = os.ReadFile(state) {
					time.Sleep(time.Millisecond)
				}
			}
			if got := ours(command.Process.Pid); got != test.want {
				t.Errorf("ours: %v", got)
			}
		})
	}
}

func TestScan(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	log := filepath.Join(folder, "log")
	secret := config.NewSecret().Reveal()
	if err := os.WriteFile(log, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, said := secrets(t, "scan", folder); code != 0 || !strings.Contains(said, "none in 1 files") {
		t.Errorf("exit code %d, %q", code, said)
	}
	if err := os.WriteFile(log, []byte("login with "+secret), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, said := secrets(t, "scan", folder); code != found || !strings.Contains(said, log) || strings.Contains(said, secret) {
		t.Errorf("exit code %d for a planted secret", code)
	}
	for _, arguments := range [][]string{{"scan", folder + "/gone"}, {"scan", t.TempDir()}, {"scan"}, {"watch", "true"}, {}} {
		if code, said := secrets(t, arguments...); code != wrong || said == "" {
			t.Errorf("%q: exit code %d, want %d", arguments, code, wrong)
		}
	}
}
