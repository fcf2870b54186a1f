package testbed

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// messy leaves something of every run, and says which runs' it was to remove.
type messy struct {
	fakeBackend

	mu      sync.Mutex
	fails   error
	cleaned []string
}

func (m *messy) Clean(_ context.Context, of Remains) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails != nil {
		return m.fails
	}
	m.cleaned = append(m.cleaned, of.Testbed.Name)
	return nil
}

// TestRemains finds the notes of dead runs where a worker looks: in the folder of a run, in a run's WorkDir, and in the
// scratch folder itself. What a test has written is no note.
func TestRemains(t *testing.T) {
	t.Parallel()
	backend := &messy{fakeBackend: fakeBackend{"messy"}}
	Register(backend)
	runner := &Runner{backend: backend}
	folder := t.TempDir()
	for name, at := range map[string]string{
		"run": "1/work/testbed", "workdir": "2/testbed", "scratch": "3", "forged": "1/work/testbed/tmp/testbed", "artifact": "1/out/artifacts/testbed",
	} {
		path := filepath.Join(folder, at)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := runner.noteRemains(path, Remains{Testbed: Testbed{Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	// What cannot be removed keeps the folder, so that it is tried again.
	backend.fails = errors.New("the cloud is away")
	if err := Remove(t.Context(), filepath.Join(folder, "1")); !errors.Is(err, backend.fails) {
		t.Errorf("error = %v", err)
	}
	if _, err := os.Stat(filepath.Join(folder, "1/work/testbed", remainsFile)); err != nil {
		t.Error(err)
	}
	backend.fails = nil
	for _, name := range []string{"1", "2", "3"} {
		if err := Remove(t.Context(), filepath.Join(folder, name)); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(folder, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	if want := []string{"run", "workdir", "scratch"}; !slices.Equal(backend.cleaned, want) {
		t.Errorf("cleaned %q, want %q", backend.cleaned, want)
	}
}
