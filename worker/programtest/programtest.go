// Package programtest writes the programs by which tests stand in the place of others.
package programtest

import (
	"os"
	"syscall"
	"testing"
)

// Write writes a program that can be run at once. Nothing is started meanwhile: what another test starts at that moment would have
// the file open for writing until it is another program, and the kernel runs no file that somebody writes.
func Write(t testing.TB, path, text string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}
