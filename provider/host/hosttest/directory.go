// Package hosttest is what tests of real services in a stack's folder need: the folder, its end, and a look at its
// processes.
//
// It knows no service. Tests with the tags "component", "acceptance" and "e2e" use it. Start reading at NewDirectory.
package hosttest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// NewDirectory makes a stack with a folder of its own, which goes with all that runs in it when the test ends.
func NewDirectory(t testing.TB) *host.Directory {
	t.Helper()
	d, err := host.Create(t.Context(), host.Options{Path: Folder(t, ""), Stack: "test", Account: account(t)})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Folder names a folder for a stack, below a place or, without one, where temporary files lie. Whatever is in it is ended
// with the test. It is not in t.TempDir, which only its owner may enter: as root the services run as another account.
func Folder(t testing.TB, place string) string {
	t.Helper()
	parent, err := os.MkdirTemp(place, "stack-test-")
	if err != nil {
		t.Fatal(err)
	}
	who := account(t)
	if err := errors.Join(os.Chmod(parent, 0o755), os.Chown(parent, who.UID, who.GID)); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(parent, "stack")
	t.Cleanup(func() {
		if err := host.Sweep(context.WithoutCancel(t.Context()), folder); err != nil {
			t.Errorf("the stack is left behind: %v", err)
		}
		_ = os.RemoveAll(parent)
	})
	return folder
}

func account(t testing.TB) host.Account {
	t.Helper()
	account, err := host.Choose("")
	if err != nil {
		t.Fatal(err)
	}
	return account
}
