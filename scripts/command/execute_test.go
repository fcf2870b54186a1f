package command

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestExecutePassesOnTheExitCode(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		script string
		code   int // -1: an error that is no exit code, 0: none
	}{
		"success":          {"exit 0", 0},
		"failure":          {"exit 7", 7},
		"killed":           {"kill -9 $$", 128 + 9},
		"with its setting": {`test "$SETTING" = value`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := Execute(t.Context(), []string{"/bin/sh", "-c", test.script}, []string{"SETTING=value"})
			var ended *ExitError
			if test.code == 0 && err != nil || test.code > 0 && (!errors.As(err, &ended) || ended.Code != test.code) {
				t.Errorf("error = %v, want code %d", err, test.code)
			}
		})
	}
	if err := Execute(t.Context(), []string{"/nonexistent"}, nil); err == nil || errors.As(err, new(*ExitError)) {
		t.Errorf("a program that is not there: %v", err)
	}
}

// TestExecuteEndsAllOfTheCommand: what the command has started goes with it, and it has time to clean up before.
func TestExecuteEndsAllOfTheCommand(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	ready, cleaned := filepath.Join(folder, "ready"), filepath.Join(folder, "cleaned")
	if err := unix.Mkfifo(ready, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	told := make(chan error, 1)
	go func() {
		_, err := os.ReadFile(ready) // until the command writes to it
		cancel()
		told <- err
	}()
	script := `trap 'echo > "$1/cleaned"; exit 3' TERM; (sleep 1000 & echo > "$1/ready"; wait) & wait`
	begin := time.Now()
	err := Execute(ctx, []string{"/bin/sh", "-c", script, "sh", folder}, os.Environ())
	var ended *ExitError
	if !errors.As(err, &ended) || ended.Code != 3 {
		t.Errorf("error = %v, want code 3", err)
	}
	if err := <-told; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(cleaned); err != nil {
		t.Errorf("the command could not clean up: %v", err)
	}
	if took := time.Since(begin); took >= endLimit {
		t.Errorf("took %s", took)
	}
}
